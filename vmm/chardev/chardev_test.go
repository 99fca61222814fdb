// SPDX-License-Identifier: Apache-2.0

package chardev

import (
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func write(t *testing.T, w io.Writer, text string) {
	t.Helper()
	if n, err := io.WriteString(w, text); err != nil || n != len(text) {
		t.Fatalf("wrote %d of %d bytes: %v", n, len(text), err)
	}
}

func expect(t *testing.T, r io.Reader, text string) {
	t.Helper()
	b := make([]byte, len(text))
	if _, err := io.ReadFull(r, b); err != nil || string(b) != text {
		t.Fatalf("%q arrived, want %q: %v", b, text, err)
	}
}

func TestFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	for _, text := range []string{"a longer first text\n", "second\n"} {
		d, err := OpenFile(path)
		if err != nil {
			t.Fatal(err)
		}
		write(t, d.Out, text)
		if err := d.Close(); err != nil || d.In != nil {
			t.Errorf("%v, %v", err, d.In)
		}
		if b, err := os.ReadFile(path); err != nil || string(b) != text {
			t.Errorf("%q, %v", b, err)
		}
	}
}

func TestPTY(t *testing.T) {
	link := filepath.Join(t.TempDir(), "console")
	if err := os.Symlink("/nowhere", link); err != nil { // a former machine's
		t.Fatal(err)
	}
	d, err := OpenPTY(link)
	if err != nil {
		t.Fatal(err)
	}
	if to, err := os.Readlink(link); err != nil || to != d.Where {
		t.Errorf("the link leads to %q, not %q: %v", to, d.Where, err)
	}
	for range 2 { // the second program finds it as the first did
		tty, err := os.OpenFile(link, os.O_RDWR|unix.O_NOCTTY, 0)
		if err != nil {
			t.Fatal(err)
		}
		write(t, d.Out, "login:\n")
		expect(t, tty, "login:\n")
		write(t, tty, "root\n\x03")
		expect(t, d.In, "root\n\x03")
		tty.Close()
	}
	write(t, d.Out, strings.Repeat("nobody reads this\n", 64<<10)) // and is not waited for
	write(t, d.Out, "nor this")
	if err := d.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(link); err == nil {
		t.Error("the link was left")
	}
	if n, err := d.In.Read(make([]byte, 1)); err == nil {
		t.Errorf("read %d bytes after the end", n)
	}
}

func TestPTYKeepsFiles(t *testing.T) {
	path := filepath.Join(t.TempDir(), "precious")
	if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if d, err := OpenPTY(path); err == nil || !strings.Contains(err.Error(), path) {
		if err == nil {
			d.Close()
		}
		t.Errorf("a file was replaced: %v", err)
	}
}

func TestSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "c.sock")
	d, err := ListenUnix(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ListenUnix(path); err == nil {
		t.Error("a socket in use was replaced")
	}
	write(t, d.Out, strings.Repeat("x", keep)+"the end\n") // more than is kept
	for i := range 2 {
		c, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			expect(t, c, strings.Repeat("x", keep-8)+"the end\n")
		}
		write(t, c, "typed")
		expect(t, d.In, "typed") // so it is this client's turn
		write(t, d.Out, "printed")
		expect(t, c, "printed")
		c.Close()
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("the socket was left")
	}
	write(t, d.Out, "into the void")
	if n, err := d.In.Read(make([]byte, 1)); err == nil {
		t.Errorf("read %d bytes after the end", n)
	}
}

// TestStaleSocket: one whose process was killed does not stand in the way; a file
// does.
func TestStaleSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "c.sock")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
	d, err := ListenUnix(path)
	if err != nil {
		t.Fatal(err)
	}
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	write(t, c, "x") // and is never read: Close does not wait for that
	if err := d.Close(); err != nil {
		t.Error(err)
	}
	c.Close()
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := ListenUnix(path); err == nil {
		t.Errorf("a file was replaced: %v", err)
	}
}
