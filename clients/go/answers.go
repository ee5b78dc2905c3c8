package herald

import (
	"encoding/json"
	"time"
)

// Accepted is committed; its status is "scheduled" where its DeliverAt had not passed, and "pending" elsewhere.
type Accepted struct {
	ID     string `json:"id"`
	Status string `json:"status"`
}

// Notification is one as it stands. DueAt is the next attempt's date, or the end of the current one's lease.
type Notification struct {
	ID          string     `json:"id"`
	UserID      string     `json:"user_id"`
	Event       string     `json:"event"`
	Content     string     `json:"content"`
	Channel     string     `json:"channel"`
	Address     *string    `json:"address"`
	Status      string     `json:"status"`
	Attempts    int        `json:"attempts"`
	Reason      *string    `json:"reason"`
	ReasonCode  *string    `json:"reason_code"`
	DueAt       *time.Time `json:"due_at"`
	DeliverBy   *time.Time `json:"deliver_by"`
	Priority    int        `json:"priority"`
	Destination *string    `json:"destination"`
	CreatedAt   time.Time  `json:"created_at"`
	UpdatedAt   time.Time  `json:"updated_at"`
	SentAt      *time.Time `json:"sent_at"`
}

// Message is one of any topic as it stands; Request counts how often delivery was asked for.
type Message struct {
	ID          string          `json:"id"`
	Topic       string          `json:"topic"`
	Key         *string         `json:"key"`
	Data        json.RawMessage `json:"data"`
	Status      string          `json:"status"`
	Attempts    int             `json:"attempts"`
	Request     int             `json:"request"`
	Reason      *string         `json:"reason"`
	ReasonCode  *string         `json:"reason_code"`
	DueAt       *time.Time      `json:"due_at"`
	DeliverBy   *time.Time      `json:"deliver_by"`
	Priority    int             `json:"priority"`
	Destination *string         `json:"destination"`
	AcceptedAt  time.Time       `json:"accepted_at"`
	UpdatedAt   time.Time       `json:"updated_at"`
	SentAt      *time.Time      `json:"sent_at"`
}

// Event is one of a history: Version counts from 1, Type is "message.requested" and the like.
type Event struct {
	Version    int             `json:"version"`
	Type       string          `json:"type"`
	RecordedAt time.Time       `json:"recorded_at"`
	Data       json.RawMessage `json:"data"`
}

// Page is one of a list; Cursor leads to the next, and is empty on the last one.
type Page struct {
	Items  []Notification `json:"items"`
	Cursor string         `json:"cursor,omitempty"`
}
