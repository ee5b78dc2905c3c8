// What program.py does, over pgx.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"strings"

	"github.com/jackc/pgx/v5"
)

func main() {
	ctx := context.Background()
	connection, err := pgx.Connect(ctx, os.Getenv("DATABASE_URL"))
	check(err)
	defer connection.Close(ctx)
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		var steps [][]string
		check(json.Unmarshal(lines.Bytes(), &steps))
		perform(ctx, connection, steps)
	}
}

func perform(ctx context.Context, connection *pgx.Conn, steps [][]string) {
	var whole, nested pgx.Tx
	for _, step := range steps {
		var err error
		switch step[0] {
		case "begin":
			level := pgx.TxIsoLevel(strings.ToLower(step[1]))
			whole, err = connection.BeginTx(ctx, pgx.TxOptions{IsoLevel: level})
		case "run":
			_, err = whole.Exec(ctx, step[1])
		case "save":
			nested, err = whole.Begin(ctx)
		case "back":
			err = nested.Rollback(ctx)
		case "commit":
			err = whole.Commit(ctx)
		case "rollback":
			err = whole.Rollback(ctx)
		case "say":
			fmt.Println(step[1])
		case "wait":
			_, err = os.Stdin.Read(make([]byte, 1))
		}
		check(err)
	}
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
