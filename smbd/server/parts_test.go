package server

import (
	"encoding/hex"
	"os"
	"strings"
	"testing"
	"time"

	"dittofs/gateway/fuzz"
	"dittofs/gateway/lock"
	"dittofs/smbd/smb2"
)

// Each name on disk has one name on the wire, which leads back to it.
func TestNames(t *testing.T) {
	for disk, wire := range map[string]string{
		"plain":            "plain",
		"größe":            "größe",
		"a:b*c":            "a\uf022b\uf021c",
		`"<>?\|`:           "\uf020\uf023\uf024\uf025\uf026\uf027",
		"tab\t":            "tab\uf009",
		"dot.":             "dot\uf029",
		"space ":           "space\uf028",
		"..hidden":         "..hidden",
		"\xff":             "\uf7ff",
		"half\xc3":         "half\uf7c3",
		"\uf022":           "\uf7ef\uf780\uf7a2", // itself an image: its bytes stand for it
		"\U0001F600":       "\U0001F600",
		"two \xed\xa0\x80": "two \uf7ed\uf7a0\uf780", // a surrogate in UTF-8 is not UTF-8
	} {
		if got := wireName(disk); got != wire {
			t.Errorf("%q on the wire: %q, want %q", disk, got, wire)
		}
		if got, ok := diskName(wire); got != disk || !ok {
			t.Errorf("%q on disk: %q, %v, want %q", wire, got, ok, disk)
		}
	}
	for _, bad := range []string{"", ".", "..", "\uf029", ".\uf029", "a/b", "a*", "a\x01", "\xff", strings.Repeat("ä", 128)} {
		if got, ok := diskName(bad); ok {
			t.Errorf("%q is %q on disk", bad, got)
		}
	}
}

func FuzzNames(g *testing.F) {
	f := fuzz.On(g)
	for _, s := range []string{"a", "a:b.", "\xff\xfe ", "\uf022", "..."} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, disk string) {
		if disk == "" || disk == "." || disk == ".." || len(disk) > 255 || strings.ContainsAny(disk, "/\x00") {
			return
		}
		w := wireName(disk)
		if back, ok := diskName(w); !ok || back != disk {
			t.Errorf("%q → %q → %q, %v", disk, w, back, ok)
		}
	})
}

func TestSameName(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want bool
	}{
		{"a", "A", true}, {"ä", "Ä", true}, {"ß", "SS", false}, {"a", "ab", false}, {"", "", true}, {"\xff", "\xff", true}, {"\xff", "\xfe", false},
		{"\xff", "\ufffd", false}, {"ı", "I", true}, {"é", "e\u0301", true}, {"É", "e\u0301", true}, {"e", "e\u0301", false}, {"Ω", "ω", true},
	} {
		if got := sameName(c.a, c.b); got != c.want {
			t.Errorf("%q and %q: %v", c.a, c.b, got)
		}
	}
}

func TestDOSAttrib(t *testing.T) {
	born := time.Date(2020, 2, 3, 4, 5, 6, 700, time.UTC)
	b := appendDOSAttrib(nil, 0x22, born)
	want := "0000" + // the empty string, aligned
		"0400 0400" + "0000" + // version, which arm, aligned
		"11000000" + // valid: attributes, creation time
		"22000000" + "0000000000000000" + "77ce4ed348dad501"
	if got := hex.EncodeToString(b); got[:48] != strings.ReplaceAll(want, " ", "")[:48] || len(b) != 32 {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if a, flags, at := parseDOSAttrib(b); a != 0x22 || flags != 0x11 || !at.Time().Equal(born) {
		t.Errorf("back: %x %x %v", a, flags, at.Time())
	}
	if a, flags, _ := parseDOSAttrib([]byte("0x21\x00")); a != 0x21 || flags != dosHasAttributes {
		t.Errorf("text: %x %x", a, flags)
	}
}

func FuzzDOSAttrib(g *testing.F) {
	f := fuzz.On(g)
	f.Add(appendDOSAttrib(nil, 0x22, time.Unix(1, 0)))
	f.Add([]byte("0x20\x00\x00\x03\x00\x03\x00\x00\x00" + strings.Repeat("\x01", 40)))
	f.Fuzz(func(t *testing.T, b []byte) {
		i := info{mode: 0o100644}
		i.dos(b, "name")
		if i.attributes&^(stored|smb2.FileAttributeNormal) != 0 || i.attributes == 0 {
			t.Errorf("attributes %x", i.attributes)
		}
	})
}

func TestComponents(t *testing.T) {
	for path, want := range map[string]string{
		"": "", "a": "a", `a\b`: "a/b", `a\..\b`: "b", `a\b\..\..\c`: "c", `a\..`: "", `a\..\..`: "-",
		`a\\b`: "-", `a\`: "-", `..\a`: "-", `a\.`: "-", "a:b": "-", "a:b:$DATA": "-", `a:\b`: "-",
	} {
		parts, err := components(path)
		got := strings.Join(parts, "/")
		if err != nil {
			got = "-"
		}
		if got != want {
			t.Errorf("%q: %q, want %q", path, got, want)
		}
	}
}

// The exact name comes before one that differs in case.
func TestFind(t *testing.T) {
	dir := t.TempDir()
	os.MkdirAll(dir+"/Dir/sub", 0o755)
	for _, n := range []string{"Dir/File", "Dir/file", "Dir/sub/X"} {
		os.WriteFile(dir+"/"+n, []byte(n), 0o644)
	}
	root, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	v := &volume{root: root, names: &listings{by: map[lock.Key]*listing{}}}
	for path, want := range map[string]string{
		"Dir/File": "Dir/File", "Dir/file": "Dir/file", "DIR/SUB/x": "Dir/sub/X", "dir/SUB/new": "Dir/sub/new -", "": ".",
		"no/x": "OBJECT_PATH", "Dir/file/x": "OBJECT_PATH",
	} {
		var parts []string
		if path != "" {
			parts = strings.Split(path, "/")
		}
		p, err := v.find(parts)
		if err != nil {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%q: %v, want %s", path, err, want)
			}
			continue
		}
		got := p.path
		if p.file == nil {
			got += " -"
		}
		if got != want {
			t.Errorf("%q: %q, want %q", path, got, want)
		}
		p.close()
	}
}

// where follows a file, whoever renames it.
func TestWhere(t *testing.T) {
	dir := t.TempDir()
	os.MkdirAll(dir+"/a/b", 0o755)
	os.WriteFile(dir+"/a/b/file", nil, 0o644)
	root, _ := os.Open(dir)
	defer root.Close()
	f, err := os.Open(dir + "/a/b/file")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, step := range []struct {
		do   func() error
		want string
		ok   bool
	}{
		{func() error { return nil }, "a/b/file", true},
		{func() error { return os.Rename(dir+"/a/b/file", dir+"/moved") }, "moved", true},
		{func() error { return os.Remove(dir + "/moved") }, "", false},
	} {
		if err := step.do(); err != nil {
			t.Fatal(err)
		}
		if got, ok := where(root, f); got != step.want || ok != step.ok {
			t.Errorf("%q, %v, want %q, %v", got, ok, step.want, step.ok)
		}
	}
}

func TestOplockRights(t *testing.T) {
	for _, l := range []smb2.OplockLevel{smb2.OplockNone, smb2.OplockII, smb2.OplockExclusive, smb2.OplockBatch} {
		if got := oplockLevel(oplockRights(l)); got != l {
			t.Errorf("%x became %x", l, got)
		}
	}
	for s, want := range map[smb2.LeaseState]lock.Rights{0: 0, 1: 1, 3: 3, 5: 5, 7: 7, 2: 0, 4: 0, 6: 0} {
		if got := leaseRights(s); got != want {
			t.Errorf("lease %x: %v, want %v", s, got, want)
		}
	}
}
