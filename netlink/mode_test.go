// SPDX-License-Identifier: Apache-2.0

package netlink

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/mdlayher/genetlink"
)

func TestChoose(t *testing.T) {
	for _, c := range []struct {
		name  string
		f     families
		plain string
		want  route
	}{
		{"no family", families{}, "", route{ModeFallback, 18, 1023, "no binder netlink family"}},
		{"genuine", families{binder: &Family{37, 19}}, "", route{ModeGenuine, 19, 37, "has the binder"}},
		{"genuine, highest group of the mask", families{binder: &Family{37, 32}}, "", route{ModeGenuine, 32, 37, ""}},
		{"group too high", families{binder: &Family{37, 33}}, "", route{ModeFallback, 18, 37, "only 1 to 32"}},
		{"family without the group", families{binder: &Family{37, 0}}, "", route{ModeFallback, 18, 37, "no group"}},
		{"plain names blocked", families{binder: &Family{37, 19}}, "not plain", route{ModeFallback, 18, 37, "not plain"}},
		{"group 18 owned", families{fallbackOwner: "pmcraid"}, "", route{ModeNone, 0, 0, "belongs to pmcraid"}},
		{"group 18 owned, genuine free", families{binder: &Family{37, 19}, fallbackOwner: "pmcraid"}, "", route{ModeGenuine, 19, 37, ""}},
		{"neither", families{binder: &Family{37, 40}, fallbackOwner: "pmcraid"}, "", route{ModeNone, 0, 0, "pmcraid"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := choose(c.f, c.plain)
			if !strings.Contains(got.why, c.want.why) {
				t.Errorf("why is %q, want it to say %q", got.why, c.want.why)
			}
			got.why, c.want.why = "", ""
			if got != c.want {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
		})
	}
}

func TestFamiliesFromKernelsList(t *testing.T) {
	var f families
	for _, fam := range []genetlink.Family{
		{ID: 16, Name: "nlctrl", Groups: []genetlink.MulticastGroup{{ID: 16, Name: "notify"}}},
		{ID: 18, Name: "pmcraid", Groups: []genetlink.MulticastGroup{{ID: 18, Name: "events"}}},
		{ID: 40, Name: "binder", Groups: []genetlink.MulticastGroup{{ID: 21, Name: "report"}}},
	} {
		f.add(fam)
	}
	if f.binder == nil || *f.binder != (Family{40, 21}) || f.fallbackOwner != "pmcraid" {
		t.Errorf("got %+v, binder %+v", f, f.binder)
	}
	var g families
	g.add(genetlink.Family{ID: 41, Name: "binder", Groups: []genetlink.MulticastGroup{{ID: 18, Name: "other"}}})
	if g.binder.Group != 0 || g.fallbackOwner != "" {
		t.Errorf("got %+v, binder %+v", g, g.binder)
	}
}

// fakeProc lays out files below a directory; a value "->x" is a link to x.
func fakeProc(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, content := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		var err error
		if link, ok := strings.CutPrefix(content, "->"); ok {
			err = os.Symlink(link, path)
		} else {
			err = os.WriteFile(path, []byte(content), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func TestNamespace(t *testing.T) {
	for _, c := range []struct {
		name      string
		files     map[string]string
		net, user Answer
	}{
		{"initial, old kernel", map[string]string{"self/ns/net": "->net:[4026531992]", "self/ns/user": "->user:[4026531837]", "sys/net/core/netdev_max_backlog": "1"}, Yes, Yes},
		{"initial, new kernel, no sysctl", map[string]string{"self/ns/net": "->net:[4026531833]", "self/ns/user": "->user:[4026531837]"}, Yes, Yes},
		{"container", map[string]string{"self/ns/net": "->net:[4026532177]", "self/ns/user": "->user:[4026531837]", "sys/net/core/somaxconn": "1"}, No, Yes},
		{"rootless container", map[string]string{"self/ns/net": "->net:[4026532177]", "self/ns/user": "->user:[4026532245]", "sys/net/core/somaxconn": "1"}, No, No},
		{"no proc", nil, Unknown, Unknown},
	} {
		t.Run(c.name, func(t *testing.T) {
			ns := namespaceIn(fakeProc(t, c.files))
			if ns.InitialNet != c.net || ns.InitialUser != c.user {
				t.Errorf("net %s user %s, want %s and %s", ns.InitialNet, ns.InitialUser, c.net, c.user)
			}
			if warned := ns.Warning() != ""; warned != (c.net == No) {
				t.Errorf("warning is %q", ns.Warning())
			}
		})
	}
}

func TestHostBinderDevices(t *testing.T) {
	proc := fakeProc(t, map[string]string{
		"self/mountinfo": "29 1 0:26 / /dev/binderfs rw,nosuid shared:3 - binder binder rw,max=4\n30 1 0:5 / /dev rw - devtmpfs udev rw\n",
		"1/mountinfo":    "29 1 0:26 / /dev/binderfs rw,nosuid shared:3 - binder binder rw,max=4\nnonsense\n",
	})
	sys := fakeProc(t, map[string]string{"module/binder_linux/parameters/devices": "binder,hwbinder\n"})
	got := hostBinderDevices(proc, sys)
	if want := []string{"/dev/binder", "/dev/hwbinder", "binderfs on /dev/binderfs"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	// modprobe binder_linux devices= : the family, and no device.
	sys = fakeProc(t, map[string]string{"module/binder_linux/parameters/devices": "\n"})
	if got := hostBinderDevices(t.TempDir(), sys); len(got) != 0 {
		t.Errorf("got %q on a host without devices", got)
	}
}

func TestParseWant(t *testing.T) {
	for s, want := range map[string]Want{"": WantAuto, "auto": WantAuto, "usersock": WantUserSock, "off": WantNoNetlink} {
		if got, err := ParseWant(s); err != nil || got != want {
			t.Errorf("%q gave %v, %v", s, got, err)
		}
	}
	if _, err := ParseWant("group18"); err == nil {
		t.Error("group18 accepted")
	}
}
