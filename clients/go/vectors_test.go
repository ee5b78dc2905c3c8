package herald_test

// clients/vectors.json against a Herald that runs: HERALD_URL, HERALD_STUB_URL, HERALD_VECTORS say where.

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"testing"

	herald "example.org/herald/clients/go"
	"example.org/herald/clients/go/internal/vectors"
)

// given is what any call of the vectors has.
type given struct {
	UserID         string   `json:"user_id"`
	UserIDs        []string `json:"user_ids"`
	Event, Content string
	Topic          string
	Data           json.RawMessage
	Key            string
	Items          []herald.Item
	MessageID      string `json:"message_id"`
	NotificationID string `json:"notification_id"`
	GroupID        string `json:"group_id"`
	Status, Cursor string
	Group          string
	Limit          int
	IdempotencyKey string `json:"idempotency_key"`
	herald.Target
}

var calls = map[string]func(context.Context, *herald.Client, given) (any, error){
	"notify": func(ctx context.Context, c *herald.Client, g given) (any, error) {
		return c.Notify(ctx, g.UserID, g.Event, g.Content, herald.NotifyOptions{Target: g.Target, RequestOptions: g.request()})
	},
	"notify_users": func(ctx context.Context, c *herald.Client, g given) (any, error) {
		return c.NotifyUsers(ctx, g.UserIDs, g.Event, g.Content, herald.NotifyOptions{Target: g.Target, RequestOptions: g.request()})
	},
	"notify_many": func(ctx context.Context, c *herald.Client, g given) (any, error) {
		return c.NotifyMany(ctx, g.Items, g.request())
	},
	"send": func(ctx context.Context, c *herald.Client, g given) (any, error) {
		return c.Send(ctx, g.Topic, g.Data, herald.SendOptions{Key: g.Key, Dates: g.Dates, RequestOptions: g.request()})
	},
	"cancel": func(ctx context.Context, c *herald.Client, g given) (any, error) {
		return c.Cancel(ctx, g.MessageID, g.request())
	},
	"cancel_group": func(ctx context.Context, c *herald.Client, g given) (any, error) {
		return c.CancelGroup(ctx, g.GroupID, g.request())
	},
	"group": func(ctx context.Context, c *herald.Client, g given) (any, error) { return c.Group(ctx, g.GroupID) },
	"again": func(ctx context.Context, c *herald.Client, g given) (any, error) {
		return c.Again(ctx, g.MessageID, g.request())
	},
	"notification": func(ctx context.Context, c *herald.Client, g given) (any, error) {
		return c.Notification(ctx, g.NotificationID)
	},
	"message": func(ctx context.Context, c *herald.Client, g given) (any, error) { return c.Message(ctx, g.MessageID) },
	"history": func(ctx context.Context, c *herald.Client, g given) (any, error) {
		return c.History(ctx, g.NotificationID)
	},
	"notifications": func(ctx context.Context, c *herald.Client, g given) (any, error) {
		return c.Notifications(ctx, herald.Filters{UserID: g.UserID, Event: g.Event, Status: g.Status, Group: g.Group, Limit: g.Limit, Cursor: g.Cursor})
	},
}

func (g given) request() herald.RequestOptions {
	return herald.RequestOptions{IdempotencyKey: g.IdempotencyKey}
}

func TestVectors(t *testing.T) {
	for index, one := range vectors.Read(t).HTTP {
		t.Run(one.Name, func(t *testing.T) {
			t.Parallel()
			client := &herald.Client{
				URL:      os.Getenv("HERALD_URL"),
				Key:      one.Key,
				Deadline: vectors.Seconds(one.Patience.Deadline),
				Attempt:  vectors.Seconds(one.Patience.Attempt),
			}
			if one.Stub != nil {
				client.URL = fmt.Sprintf("%s/%d", os.Getenv("HERALD_STUB_URL"), index)
			}
			vectors.Run(t, one, func(step vectors.Step, saved vectors.Object) (any, error) {
				var g given
				vectors.Convert(t, vectors.Filled(step.With, saved), &g)
				return calls[step.Call](t.Context(), client, g)
			})
		})
	}
}
