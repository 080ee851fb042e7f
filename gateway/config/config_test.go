package config

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

func write(t *testing.T, path, text string) string {
	t.Helper()
	os.MkdirAll(filepath.Dir(path), 0o755)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestLoadAddsConfD(t *testing.T) {
	dir := t.TempDir()
	p := write(t, dir+"/gateway.toml", "[ports]\nsmb = 4450\n[[export]]\npath = \"/srv/a\"\n")
	write(t, dir+"/conf.d/10.toml", "listen = \"::1\"\n[[export]]\npath = \"/srv/b/\"\nname = \"bee\"\nsquash = \"none\"\n[[export]]\npath = \"/srv/c\"\ndisabled = true\n")
	c, err := Load(p)
	if err != nil {
		t.Fatal(err)
	}
	want := Default()
	want.Listen, want.Ports.SMB = "::1", 4450
	want.Exports = []Export{
		{Path: "/srv/a", Name: "a", Squash: "root", AnonUID: 65534, AnonGID: 65534},
		{Path: "/srv/b", Name: "bee", Squash: "none", AnonUID: 65534, AnonGID: 65534},
	}
	if !reflect.DeepEqual(c, want) {
		t.Errorf("got  %+v\nwant %+v", c, want)
	}
	b, err := c.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	again, err := Load(write(t, t.TempDir()+"/gateway.toml", string(b)))
	if err != nil {
		t.Fatal(err)
	}
	if b2, err := again.Marshal(); err != nil || string(b2) != string(b) {
		t.Errorf("printed, read and printed again: %v\n%s\n%s", err, b, b2)
	}
}

func TestLoadRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"[ports]\nsbm = 1\n":           `:2:1: unknown key "ports.sbm"`,
		"[ports]\nsmb = 70000\n":       ":2:",
		"[lock]\ngrace = \"soon\"\n":   ":2:",
		"listen = \n":                  ":1:",
		"[[export]]\npath = \"srv\"\n": "the path must be absolute",
		"[[export]]\npath = \"/a/x\"\n[[export]]\npath=\"/b/X\"": `the share name "X" is taken`,
		"[[export]]\npath = \"/a\"\nname = \"a/b\"\n":            "cannot be a share name",
		"[[export]]\npath = \"/a\"\nclients = [\"b(x)\"]\n":      `client "b(x)": unknown option "x"`,
		"[smb]\nsigning = \"maybe\"\n":                           `smb.signing = "maybe": must be one of required, optional`,
		"[nfs]\nconnections = 0\n":                               `nfs.connections: at least 1`,
		"[smb]\nconnections = 0\n":                               `smb.connections and smb.connections_per_address: at least 1`,
	} {
		p := write(t, t.TempDir()+"/gateway.toml", text)
		if _, err := Load(p); err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), p) {
			t.Errorf("%q: %v, want %s…%s", text, err, p, want)
		}
	}
}
