// Package herald sends through Herald: over HTTP, or in the caller's own transaction.
package herald

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// Client speaks with the Herald at URL, from any number of goroutines. Key is one of its API. HTTP and Header bring what
// stands before it.
// Deadline bounds a call with its repetitions (30 s if not given), Attempt one of them (10 s). Every method fails with
// *Error.
type Client struct {
	URL      string
	Key      string
	HTTP     *http.Client
	Header   http.Header
	Deadline time.Duration
	Attempt  time.Duration
}

// Notify accepts a notification.
func (c *Client) Notify(ctx context.Context, userID, event, content string, options NotifyOptions) (found Accepted, err error) {
	item := Item{UserID: userID, Event: event, Content: content, Target: options.Target}
	err = c.post(ctx, "/notifications", item, options.RequestOptions, &found)
	return found, err
}

// NotifyUsers accepts a group: one for each of up to 1,000 users, all or none, answered in their order.
func (c *Client) NotifyUsers(ctx context.Context, userIDs []string, event, content string, options NotifyOptions) ([]Accepted, error) {
	item := Item{UserIDs: userIDs, Event: event, Content: content, Target: options.Target}
	return c.NotifyMany(ctx, []Item{item}, options.RequestOptions)
}

// NotifyMany accepts up to 1,000 notifications, all or none, answered in their order.
func (c *Client) NotifyMany(ctx context.Context, items []Item, options RequestOptions) ([]Accepted, error) {
	var found struct{ Items []Accepted }
	err := c.post(ctx, "/notifications/bulk", map[string]any{"items": items}, options, &found)
	return found.Items, err
}

// Send accepts a message of a registered topic; data becomes a JSON object.
func (c *Client) Send(ctx context.Context, topic string, data any, options SendOptions) (found Accepted, err error) {
	body := struct {
		Topic string `json:"topic"`
		Data  any    `json:"data"`
		SendOptions
	}{topic, data, options}
	err = c.post(ctx, "/messages", body, options.RequestOptions, &found)
	return found, err
}

// Cancel takes a message or notification back; its code is Conflict where it is too late.
func (c *Client) Cancel(ctx context.Context, id string, options RequestOptions) (found Accepted, err error) {
	err = c.post(ctx, "/messages/"+url.PathEscape(id)+"/cancel", nil, options, &found)
	return found, err
}

// CancelGroup takes back what was not tried yet of a group; all else was too late.
func (c *Client) CancelGroup(ctx context.Context, id string, options RequestOptions) (found Group, err error) {
	err = c.post(ctx, "/groups/"+url.PathEscape(id)+"/cancel", nil, options, &found)
	return found, err
}

// Group counts the messages of a group by status.
func (c *Client) Group(ctx context.Context, id string) (found Group, err error) {
	err = c.call(ctx, http.MethodGet, "/groups/"+url.PathEscape(id), nil, http.Header{}, &found)
	return found, err
}

// Again sends what is over again, as a new message; its code is Conflict where it is not over.
func (c *Client) Again(ctx context.Context, id string, options RequestOptions) (found Accepted, err error) {
	err = c.post(ctx, "/messages/"+url.PathEscape(id)+"/again", nil, options, &found)
	return found, err
}

// Notification looks at one.
func (c *Client) Notification(ctx context.Context, id string) (found Notification, err error) {
	err = c.call(ctx, http.MethodGet, "/notifications/"+url.PathEscape(id), nil, http.Header{}, &found)
	return found, err
}

// Message looks at one of any topic, also at a notification.
func (c *Client) Message(ctx context.Context, id string) (found Message, err error) {
	err = c.call(ctx, http.MethodGet, "/messages/"+url.PathEscape(id), nil, http.Header{}, &found)
	return found, err
}

// History is what happened to a notification, oldest first.
func (c *Client) History(ctx context.Context, id string) ([]Event, error) {
	var found struct{ Items []Event }
	err := c.call(ctx, http.MethodGet, "/notifications/"+url.PathEscape(id)+"/events", nil, http.Header{}, &found)
	return found.Items, err
}

// Notifications lists them, newest first; the next page has the same filters and the Cursor of this one.
func (c *Client) Notifications(ctx context.Context, filters Filters) (found Page, err error) {
	query := url.Values{}
	given := map[string]string{"user_id": filters.UserID, "event": filters.Event, "status": filters.Status, "group": filters.Group, "cursor": filters.Cursor}
	if filters.Limit != 0 {
		given["limit"] = strconv.Itoa(filters.Limit)
	}
	for name, value := range given {
		if value != "" {
			query.Set(name, value)
		}
	}
	err = c.call(ctx, http.MethodGet, "/notifications?"+query.Encode(), nil, http.Header{}, &found)
	return found, err
}

func (c *Client) post(ctx context.Context, path string, body any, options RequestOptions, into any) error {
	key := options.IdempotencyKey
	if key == "" {
		key = rand.Text()
	}
	if strings.ContainsFunc(key+options.Traceparent, unicode.IsControl) {
		return refused("Idempotency-Key or traceparent", errors.New("has control characters"), key)
	}
	header := http.Header{"Idempotency-Key": {key}}
	if options.Traceparent != "" {
		header.Set("Traceparent", options.Traceparent)
	}
	if body == nil {
		return c.call(ctx, http.MethodPost, path, nil, header, into)
	}
	encoded, err := json.Marshal(body)
	if err != nil {
		return refused("body", err, key)
	}
	header.Set("Content-Type", "application/json")
	return c.call(ctx, http.MethodPost, path, encoded, header, into)
}

// call sends the same body under the same key with each attempt.
func (c *Client) call(ctx context.Context, method, path string, body []byte, header http.Header, into any) error {
	key := header.Get("Idempotency-Key")
	for name, values := range c.Header {
		header[name] = values
	}
	if c.Key != "" {
		header.Set("Authorization", "Bearer "+c.Key)
	}
	request, err := http.NewRequest(method, strings.TrimRight(c.URL, "/")+path, bytes.NewReader(body))
	if err == nil && (request.URL.Host == "" || request.URL.Scheme != "http" && request.URL.Scheme != "https") {
		err = fmt.Errorf("must be http:// or https:// and a host, not %q", c.URL)
	}
	if err != nil {
		return refused("URL", err, key)
	}
	request.Header = header
	ctx, cancel := context.WithTimeout(ctx, or(c.Deadline, 30*time.Second))
	defer cancel()
	found, err := answered(ctx, or(c.Attempt, 10*time.Second), key, func(ctx context.Context) (answer, error) {
		return c.attempt(request.Clone(ctx))
	})
	if err != nil {
		return err
	}
	if err := decoded(found.body, into); err != nil {
		return notHeralds(found.status, found.body, key, err)
	}
	return nil
}

func (c *Client) attempt(request *http.Request) (answer, error) {
	request.Body, _ = request.GetBody()
	var client http.Client
	if c.HTTP != nil {
		client = *c.HTTP
	}
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	response, err := client.Do(request)
	if err != nil {
		return answer{}, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	return answer{response.StatusCode, response.Header.Get("Retry-After"), text}, err
}

// decoded fails for what is no answer of Herald's, which has an id or items.
func decoded(body []byte, into any) error {
	var heralds struct {
		ID    *string
		Items *[]json.RawMessage
	}
	if err := json.Unmarshal(body, &heralds); err != nil {
		return err
	}
	if heralds.ID == nil && heralds.Items == nil {
		return errors.New("has neither id nor items")
	}
	return json.Unmarshal(body, into)
}

func refused(field string, cause error, key string) *Error {
	fields := []FieldError{{field, cause.Error()}}
	return &Error{Code: Refused, Detail: field + ": " + cause.Error(), Fields: fields, IdempotencyKey: key, cause: cause}
}

func or(given, instead time.Duration) time.Duration {
	if given > 0 {
		return given
	}
	return instead
}
