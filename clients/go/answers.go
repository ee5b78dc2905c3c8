package herald

import (
	"encoding/json"
	"time"
)

// Accepted is committed; its status is "scheduled" where its DeliverAt had not passed, and "pending" elsewhere. What
// several users are told has a Group.
type Accepted struct {
	ID     string `json:"id"`
	Status string `json:"status"`
	Group  string `json:"group,omitempty"`
}

// Group is what several users were told: how many messages there are, in all and in each status.
type Group struct {
	ID         string         `json:"id"`
	Total      int            `json:"total"`
	Counts     map[string]int `json:"counts"`
	AcceptedAt time.Time      `json:"accepted_at"`
	UpdatedAt  time.Time      `json:"updated_at"`
}

// State is what notifications and messages have alike. DueAt is the next attempt's date, or the end of the current one's
// lease; the message AgainOf was over, and was sent again as this one.
type State struct {
	ID          string     `json:"id"`
	Status      string     `json:"status"`
	Attempts    int        `json:"attempts"`
	Reason      *string    `json:"reason"`
	ReasonCode  *string    `json:"reason_code"`
	DueAt       *time.Time `json:"due_at"`
	DeliverBy   *time.Time `json:"deliver_by"`
	Priority    int        `json:"priority"`
	Destination *string    `json:"destination"`
	Group       *string    `json:"group"`
	UpdatedAt   time.Time  `json:"updated_at"`
	SentAt      *time.Time `json:"sent_at"`
	AgainOf     *string    `json:"again_of"`
}

// Notification is one as it stands; Content and Address are empty where the key may not read them.
type Notification struct {
	State
	UserID    string    `json:"user_id"`
	Event     string    `json:"event"`
	Content   string    `json:"content"`
	Channel   string    `json:"channel"`
	Address   *string   `json:"address"`
	CreatedAt time.Time `json:"created_at"`
}

// Message is one of any topic as it stands; Request counts how often delivery was asked for, SentAgain are the messages
// that it was sent again as. Data is null where the key may not read it.
type Message struct {
	State
	Topic      string          `json:"topic"`
	Key        *string         `json:"key"`
	Data       json.RawMessage `json:"data"`
	Request    int             `json:"request"`
	AcceptedAt time.Time       `json:"accepted_at"`
	SentAgain  []string        `json:"sent_again"`
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
