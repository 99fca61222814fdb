// SPDX-License-Identifier: Apache-2.0

package manage

import (
	"encoding/json"
	"fmt"
	"io"
	"time"

	"virtbinder/vmm/api"
)

// EventsCmd is `virtbinder events`.
type EventsCmd struct {
	target
	Failures bool `help:"Failed transactions as well; virtbinder monitor shows them in more detail."`
	JSON     bool `name:"json" help:"Print one JSON document in each line, as /v1/vm/events has them."`
}

// Help is shown with --help.
func (EventsCmd) Help() string {
	return `What has happened to the VM since its start, and then what happens, until its end: started, paused, resumed,
stopping, ended.

Examples:

  virtbinder events android
  virtbinder events android --json --failures | jq -r .kind`
}

// Run prints the events.
func (c *EventsCmd) Run() error {
	ctx, stop, client, err := c.reach()
	if err != nil {
		return err
	}
	defer stop()
	var failed error
	err = client.Events(ctx, c.Failures, func(e api.Event) bool {
		failed = c.print(stdout(c.Stdout), &e)
		return failed == nil
	})
	if failed != nil || ctx.Err() != nil {
		return failed
	}
	return err
}

func (c *EventsCmd) print(w io.Writer, e *api.Event) error {
	if c.JSON {
		return json.NewEncoder(w).Encode(e)
	}
	text := ""
	switch e.Kind {
	case api.EventEnded:
		text = fmt.Sprintf(" %s (exit code %d) %s", e.Exit, e.Code, e.Error)
	case api.EventLost:
		text = fmt.Sprintf(" %d events", e.Count)
	case api.EventFailure:
		text = " " + string(e.Failure)
	}
	_, err := fmt.Fprintf(w, "%s %s %s%s\n", e.Time.Format(time.DateTime), e.VM, e.Kind, text)
	return err
}
