package herald

import (
	"context"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"
)

const (
	firstPause   = 100 * time.Millisecond // each further one is twice as long
	longestPause = 5 * time.Second        // longer only where Retry-After says so
)

type answer struct {
	status     int
	retryAfter string
	body       []byte
}

// answered attempts until one is answered with success. The error is an *Error: another attempt is of no use, or would
// begin after the deadline of ctx.
func answered(ctx context.Context, limit time.Duration, key string, attempt func(context.Context) (answer, error)) (answer, error) {
	end, _ := ctx.Deadline()
	for longest := firstPause; ; longest = min(2*longest, longestPause) {
		found, err := within(ctx, limit, attempt)
		if err == nil && found.status >= 200 && found.status < 300 {
			return found, nil
		}
		failure, isFinal, wanted := judged(found, err, key)
		pause := wanted + longest/2 + rand.N(longest/2) // those who are told the same date come apart
		if isFinal || ctx.Err() != nil || time.Now().Add(pause).After(end) {
			return answer{}, failure
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return answer{}, failure
		}
	}
}

func within(ctx context.Context, limit time.Duration, attempt func(context.Context) (answer, error)) (answer, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	return attempt(ctx)
}

// judged is the error, whether it stays one, and how long Retry-After asks to wait.
func judged(found answer, err error, key string) (*Error, bool, time.Duration) {
	if err != nil {
		return &Error{Code: NoAnswer, Detail: err.Error(), IdempotencyKey: key, cause: err}, false, 0
	}
	wanted, isGiven := retryAfter(found.retryAfter)
	isInProgress := found.status == http.StatusConflict && isGiven // the same key, handled elsewhere
	return problem(found.status, found.body, key), !isUnavailable(found.status) && !isInProgress, wanted
}

// retryAfter reads seconds or a date, and says whether it was either.
func retryAfter(given string) (time.Duration, bool) {
	if seconds, err := strconv.ParseUint(given, 10, 31); err == nil {
		return time.Duration(seconds) * time.Second, true
	}
	date, err := http.ParseTime(given)
	return max(0, time.Until(date)), err == nil
}
