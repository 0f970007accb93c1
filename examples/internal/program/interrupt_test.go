package program

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"testing"
)

// TestInterruptible sends signals to a child, which says when its context has ended
// and lives until its input is closed.
func TestInterruptible(t *testing.T) {
	const mark = "DELTATAPE_TEST_CHILD"
	if os.Getenv(mark) != "" {
		ctx := Interruptible()
		fmt.Println("ready")
		<-ctx.Done()
		fmt.Println("ended")
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(3)
	}
	const hup, interrupt, term = syscall.SIGHUP, syscall.SIGINT, syscall.SIGTERM
	for _, test := range []struct {
		name          string
		shell         string // starts the child
		before, after []syscall.Signal
		killed        bool // by the last one, SIGTERM; else it ends by itself
	}{
		{"Ctrl-C", "", []syscall.Signal{interrupt}, nil, false},
		{"Ctrl-C, then SIGTERM", "", []syscall.Signal{interrupt}, []syscall.Signal{term}, true},
		{"SIGTERM twice", "", []syscall.Signal{term}, []syscall.Signal{term}, true},
		{"closed terminal", "", []syscall.Signal{hup}, []syscall.Signal{hup, hup}, false},
		{"closed terminal, then SIGTERM", "", []syscall.Signal{hup}, []syscall.Signal{hup, term}, true},
		{"nohup", "trap '' HUP; ", []syscall.Signal{hup, hup, term}, nil, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			child := exec.Command("sh", "-c", test.shell+`exec "$0" -test.run='^TestInterruptible$'`, os.Args[0])
			child.Env = append(os.Environ(), mark+"=1")
			in, inErr := child.StdinPipe()
			out, outErr := child.StdoutPipe()
			if inErr != nil || outErr != nil || child.Start() != nil {
				t.Fatal(inErr, outErr)
			}
			lines := bufio.NewScanner(out)
			said := func(want string) {
				if !lines.Scan() || lines.Text() != want {
					t.Errorf("the child says %q, want %q", lines.Text(), want)
				}
			}
			send := func(signals []syscall.Signal) {
				for _, s := range signals {
					if err := child.Process.Signal(s); err != nil {
						t.Error(err)
					}
				}
			}
			said("ready")
			send(test.before)
			said("ended")
			send(test.after)
			if !test.killed {
				in.Close()
			}
			_, _ = io.Copy(io.Discard, out)
			_ = child.Wait()
			status := child.ProcessState.Sys().(syscall.WaitStatus)
			if killed := status.Signal() == term; killed != test.killed || !killed && status.ExitStatus() != 3 {
				t.Errorf("the child ended with %v", child.ProcessState)
			}
		})
	}
}
