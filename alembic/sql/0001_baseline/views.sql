-- What a person asks for most: notifications with their fields.

CREATE VIEW notifications AS
SELECT m.id,
       o.data ->> 'user_id' AS user_id,
       m.event,
       o.data ->> 'content' AS content,
       o.data ->> 'channel' AS channel,
       o.data ->> 'address' AS address,
       destination,
       priority,
       status,
       status = 'sent' AS sent_status,
       attempts,
       reason,
       reason_code,
       due_at,
       deliver_by,
       group_id,
       accepted_at AS created_at,
       updated_at,
       sent_at
FROM messages AS m LEFT JOIN outbox AS o ON o.stream_id = m.id AND o.version = m.data_version
WHERE m.topic = 'notifications';
