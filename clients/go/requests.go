package herald

import "time"

// RequestOptions has an own Idempotency-Key, so that a later call repeats this one, and a W3C traceparent that goes
// along to the handler.
type RequestOptions struct {
	IdempotencyKey string `json:"-"`
	Traceparent    string `json:"-"`
}

// Dates say not before, not after, and 0 to 9, 9 first, 5 if not given.
type Dates struct {
	DeliverAt time.Time `json:"deliver_at,omitzero"`
	DeliverBy time.Time `json:"deliver_by,omitzero"`
	Priority  *int      `json:"priority,omitempty"`
}

// Target says where a notification goes; what is not said, HERALD_ROUTES decides.
type Target struct {
	Dates
	Channel string `json:"channel,omitempty"`
	Address string `json:"address,omitempty"`
	Subject string `json:"subject,omitempty"`
}

// NotifyOptions are those of notifications.
type NotifyOptions struct {
	Target
	RequestOptions
}

// SendOptions are those of messages; messages of one Key are published in order.
type SendOptions struct {
	Key string `json:"key,omitempty"`
	Dates
	RequestOptions
}

// Item is one of many notifications: for UserID, or for each of UserIDs.
type Item struct {
	UserID  string   `json:"user_id,omitempty"`
	UserIDs []string `json:"user_ids,omitempty"`
	Event   string   `json:"event"`
	Content string   `json:"content"`
	Target
}

// Filters say which notifications are listed: what is given must fit. Limit is items of a page, 20 if not given.
type Filters struct {
	UserID string
	Event  string
	Status string
	Group  string
	Limit  int
	Cursor string
}
