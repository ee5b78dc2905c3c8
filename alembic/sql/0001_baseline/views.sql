-- What a person asks for most: notifications with their fields.

CREATE VIEW notifications AS
SELECT id,
       data ->> 'user_id' AS user_id,
       data ->> 'event' AS event,
       data ->> 'content' AS content,
       data ->> 'channel' AS channel,
       data ->> 'address' AS address,
       destination,
       priority,
       status,
       status = 'sent' AS sent_status,
       attempts,
       reason,
       due_at,
       deliver_by,
       accepted_at AS created_at,
       updated_at,
       sent_at
FROM messages
WHERE topic = 'notifications';
