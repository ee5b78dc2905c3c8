// Package drivers holds the tests of the client's Outbox over drivers, which the client itself does not need.
package drivers

// The part `sql` of clients/vectors.json, in the database of a Herald that runs: DATABASE_URL says where.

import (
	"context"
	"database/sql"
	"encoding/json"
	"os"
	"strings"
	"testing"

	herald "example.org/herald/clients/go"
	"example.org/herald/clients/go/internal/vectors"
	"github.com/jackc/pgx/v5"
	_ "github.com/jackc/pgx/v5/stdlib"
	_ "github.com/lib/pq"
)

type given struct {
	Topic, Key     string
	Data           json.RawMessage
	UserIDs        []string `json:"user_ids"`
	Event, Content string
	Messages       []herald.OutboxMessage
	MessageID      string `json:"message_id"`
	herald.Target
	herald.Own
}

// transaction runs work in one, and commits it where that is wanted.
type transaction func(t *testing.T, commits bool, work func(herald.QueryRow))

var ways = map[string]transaction{
	"database/sql with lib/pq": func(t *testing.T, commits bool, work func(herald.QueryRow)) { overSQL(t, "postgres", commits, work) },
	"database/sql with pgx":    func(t *testing.T, commits bool, work func(herald.QueryRow)) { overSQL(t, "pgx", commits, work) },
	"pgx":                      overPgx,
}

func TestOutbox(t *testing.T) {
	for name, way := range ways {
		t.Run(name, func(t *testing.T) {
			for _, one := range vectors.Read(t).SQL {
				t.Run(one.Name, func(t *testing.T) { run(t, one, way) })
			}
			t.Run("what is rolled back never was", func(t *testing.T) {
				var sent string
				way(t, false, func(tx herald.QueryRow) {
					sent, _ = herald.Outbox{}.Send(t.Context(), tx, "generic_topic", map[string]any{}, "", herald.OutboxOptions{})
				})
				_, err := looking().Message(t.Context(), sent)
				if sent == "" || herald.CodeOf(err) != herald.NotFound {
					t.Fatal(sent, err)
				}
			})
		})
	}
}

func run(t *testing.T, one vectors.Vector, way transaction) {
	vectors.Run(t, one, func(step vectors.Step, saved vectors.Object) (answer any, err error) {
		if step.Look != "" {
			return looking().Message(t.Context(), vectors.Filled(step.Look, saved).(string))
		}
		var g given
		vectors.Convert(t, vectors.Filled(step.With, saved), &g)
		way(t, true, func(tx herald.QueryRow) { answer, err = call(t.Context(), tx, step.Call, g) })
		return answer, err
	})
}

func call(ctx context.Context, tx herald.QueryRow, name string, g given) (any, error) {
	outbox := herald.Outbox{}
	switch name {
	case "send":
		return outbox.Send(ctx, tx, g.Topic, g.Data, g.Key, herald.OutboxOptions{Dates: g.Dates, Own: g.Own})
	case "notify":
		return outbox.Notify(ctx, tx, g.UserIDs, g.Event, g.Content, herald.OutboxNotifyOptions{Target: g.Target, Own: g.Own})
	case "send_many":
		return outbox.SendMany(ctx, tx, g.Messages)
	}
	return outbox.Cancel(ctx, tx, g.MessageID)
}

func looking() *herald.Client { return &herald.Client{URL: os.Getenv("HERALD_URL")} }

func overSQL(t *testing.T, driver string, commits bool, work func(herald.QueryRow)) {
	url := os.Getenv("DATABASE_URL")
	if driver == "postgres" {
		url += map[bool]string{true: "&", false: "?"}[strings.Contains(url, "?")] + "sslmode=disable"
	}
	db, err := sql.Open(driver, url)
	check(t, err)
	defer db.Close()
	tx, err := db.BeginTx(t.Context(), nil)
	check(t, err)
	work(herald.SQL(tx))
	if commits {
		_ = tx.Commit() // after a refusal it is rolled back instead
		return
	}
	check(t, tx.Rollback())
}

func overPgx(t *testing.T, commits bool, work func(herald.QueryRow)) {
	connection, err := pgx.Connect(t.Context(), os.Getenv("DATABASE_URL"))
	check(t, err)
	defer connection.Close(t.Context())
	tx, err := connection.Begin(t.Context())
	check(t, err)
	work(herald.Pgx(tx))
	if commits {
		_ = tx.Commit(t.Context()) // after a refusal it is rolled back instead
		return
	}
	check(t, tx.Rollback(t.Context()))
}

func check(t *testing.T, err error) {
	if err != nil {
		t.Fatal(err)
	}
}
