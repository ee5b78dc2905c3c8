package herald

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"net/http"
	"reflect"
	"strconv"
	"strings"
)

// Outbox has Herald's functions in Schema ("herald" if not given): what the caller's transaction commits is delivered,
// what it rolls back never was. A refusal is an *Error that wraps the driver's; all other errors are the driver's own.
type Outbox struct{ Schema string }

// Row is the answer to a query.
type Row interface{ Scan(into ...any) error }

// QueryRow asks in the caller's transaction: SQL and Pgx make one of it.
type QueryRow func(ctx context.Context, query string, arguments ...any) Row

// SQL takes a *sql.Tx, *sql.Conn or *sql.DB.
func SQL(tx interface {
	QueryRowContext(ctx context.Context, query string, arguments ...any) *sql.Row
}) QueryRow {
	return func(ctx context.Context, query string, arguments ...any) Row {
		return tx.QueryRowContext(ctx, query, arguments...)
	}
}

// Pgx takes a pgx.Tx, a *pgx.Conn or a pool.
func Pgx[R Row](tx interface {
	QueryRow(ctx context.Context, query string, arguments ...any) R
}) QueryRow {
	return func(ctx context.Context, query string, arguments ...any) Row {
		return tx.QueryRow(ctx, query, arguments...)
	}
}

// Own are options of messages that are sent by SQL: Group is of those that belong together, Actor is who it is done for,
// where that is not the session's role.
type Own struct {
	IdempotencyKey string `json:"idempotency_key,omitempty"`
	Traceparent    string `json:"traceparent,omitempty"`
	Group          string `json:"group,omitempty"`
	Actor          string `json:"actor,omitempty"`
}

// OutboxOptions are those of messages. On the topic notifications Dates stand in the data.
type OutboxOptions struct {
	Dates
	Own
}

// OutboxNotifyOptions are those of notifications.
type OutboxNotifyOptions struct {
	Target
	Own
}

// OutboxMessage is one of many, as Send takes them.
type OutboxMessage struct {
	Topic   string        `json:"topic"`
	Data    any           `json:"data"`
	Key     string        `json:"key,omitempty"`
	Options OutboxOptions `json:"options"`
}

// Send sends a message on a registered topic; data becomes a JSON object, and key may be empty. It returns the id.
func (o Outbox) Send(ctx context.Context, tx QueryRow, topic string, data any, key string, options OutboxOptions) (string, error) {
	query := "SELECT " + o.schema() + ".send($1::text, $2::text::json, nullif($3::text, ''), $4::text::jsonb)::text"
	return ask(ctx, tx, query, topic, jsonOf{data}, key, jsonOf{options})
}

// Notify sends a notification to each of up to 1,000 users. It returns its id, or that of the group of several.
func (o Outbox) Notify(ctx context.Context, tx QueryRow, userIDs []string, event, content string, options OutboxNotifyOptions) (string, error) {
	users := "ARRAY(SELECT json_array_elements_text($1::text::json))"
	query := "SELECT " + o.schema() + ".notify(" + users + ", $2::text, $3::text, $4::text::jsonb)::text"
	return ask(ctx, tx, query, jsonOf{append([]string{}, userIDs...)}, event, content, jsonOf{options})
}

// SendMany sends up to 1,000 messages, all or none. It returns their ids, in order.
func (o Outbox) SendMany(ctx context.Context, tx QueryRow, messages []OutboxMessage) (ids []string, err error) {
	query := "SELECT json_agg(id ORDER BY place)::text FROM " + o.schema() +
		".send_many($1::text::json) WITH ORDINALITY AS sent (id, place)"
	found, err := ask(ctx, tx, query, jsonOf{append([]OutboxMessage{}, messages...)})
	if err != nil {
		return nil, err
	}
	return ids, json.Unmarshal([]byte(found), &ids)
}

// Cancel takes back what was not tried yet, of a group too. It says whether nothing will be delivered: false where it is
// too late, of a group for any of it.
func (o Outbox) Cancel(ctx context.Context, tx QueryRow, id string) (bool, error) {
	found, err := ask(ctx, tx, "SELECT "+o.schema()+".cancel($1::text::uuid)::text", id)
	return found == "true", err
}

func (o Outbox) schema() string {
	name := o.Schema
	if name == "" {
		name = "herald"
	}
	return `"` + strings.ReplaceAll(name, `"`, `""`) + `"`
}

type jsonOf struct{ value any }

// ask sends every argument as text and gets the answer as text: drivers agree on it.
func ask(ctx context.Context, tx QueryRow, query string, arguments ...any) (found string, err error) {
	for index, argument := range arguments {
		if encoded, isJSON := argument.(jsonOf); isJSON {
			text, err := json.Marshal(encoded.value)
			if err != nil {
				return "", err
			}
			arguments[index] = string(text)
		}
	}
	if err := tx(ctx, query, arguments...).Scan(&found); err != nil {
		return "", refusal(err)
	}
	return found, nil
}

// refusal is an *Error where Herald refused it: the SQLSTATE is ZH and the status of HTTP, the detail names the field.
// Both drivers have these in fields of the same names.
func refusal(err error) error {
	var failed interface {
		error
		SQLState() string
	}
	if !errors.As(err, &failed) || !strings.HasPrefix(failed.SQLState(), "ZH") {
		return err
	}
	told := reflect.Indirect(reflect.ValueOf(failed))
	status, _ := strconv.Atoi(failed.SQLState()[2:])
	text, field := told.FieldByName("Message").String(), told.FieldByName("Detail").String()
	fields := []FieldError{{field, strings.TrimPrefix(text, field+": ")}}
	return &Error{codeOf(status, fields), status, http.StatusText(status), text, fields, "", err}
}
