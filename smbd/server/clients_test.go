package server

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	client "github.com/cloudsoda/go-smb2"

	"dittofs/gateway/config"
)

// mount connects a client library that was written by others.
func mount(t *testing.T, s *served, dialect uint16, password string) (*client.Session, error) {
	t.Helper()
	nc, err := net.Dial("tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	d := &client.Dialer{Negotiator: client.Negotiator{SpecifiedDialect: dialect}, Initiator: &client.NTLMInitiator{User: "alice", Password: password}}
	return d.DialConn(context.Background(), nc, s.addr)
}

func random64(n int) []byte {
	b := make([]byte, n)
	rand.New(rand.NewSource(int64(n))).Read(b)
	return b
}

// A day's work of a client, in every dialect, signed and encrypted.
func TestClientLibrary(t *testing.T) {
	for _, dialect := range []uint16{0x202, 0x210, 0x300, 0x302, 0x311, 0} {
		for _, encryption := range []string{"off", "desired"} {
			t.Run(fmt.Sprintf("%x/%s", dialect, encryption), func(t *testing.T) {
				s := serve(t, func(c *config.Config) { c.SMB.Encryption = encryption })
				session, err := mount(t, s, dialect, "secret")
				if err != nil {
					t.Fatal(err)
				}
				fs, err := session.Mount("share")
				if err != nil {
					t.Fatal(err)
				}
				work(t, s, fs)
				if err := session.Logoff(); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

func work(t *testing.T, s *served, fs *client.Share) {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	data := random64(5<<20 + 13)
	must(fs.Mkdir("directory with spaces", 0o755))
	must(fs.WriteFile(`directory with spaces\größe.bin`, data, 0o644))
	on, err := os.ReadFile(filepath.Join(s.dir, "directory with spaces", "größe.bin"))
	must(err)
	if !bytes.Equal(on, data) {
		t.Fatal("what is on disk is not what was written")
	}
	if _, err := fs.ReadFile(`DIRECTORY WITH SPACES\GRÖSSE.BIN`); err == nil {
		t.Error("ß is not SS: NTFS compares character by character")
	}
	back, err := fs.ReadFile(`DIRECTORY WITH SPACES\GRÖßE.BIN`)
	must(err)
	if !bytes.Equal(back, data) {
		t.Error("what is read is not what was written")
	}

	must(fs.Rename(`directory with spaces\größe.bin`, `moved`))
	info, err := fs.Stat("moved")
	must(err)
	if info.Size() != int64(len(data)) || info.IsDir() {
		t.Errorf("moved: %d bytes, directory %v", info.Size(), info.IsDir())
	}
	must(fs.Truncate("moved", 7))
	stamp := time.Unix(1_000_000_000, 0)
	must(fs.Chtimes("moved", stamp, stamp))
	st, err := os.Stat(filepath.Join(s.dir, "moved"))
	must(err)
	if st.Size() != 7 || !st.ModTime().Equal(stamp) {
		t.Errorf("moved: %d bytes, %v", st.Size(), st.ModTime())
	}

	for i := range 300 {
		must(os.WriteFile(filepath.Join(s.dir, "directory with spaces", fmt.Sprintf("%03d", i)), nil, 0o644))
	}
	list, err := fs.ReadDir("directory with spaces")
	must(err)
	if len(list) != 300 {
		t.Errorf("%d entries, want 300", len(list))
	}
	if err := fs.Remove("directory with spaces"); err == nil {
		t.Error("a directory with entries was removed")
	}
	must(fs.RemoveAll("directory with spaces"))
	must(fs.Remove("moved"))
	left, err := os.ReadDir(s.dir)
	must(err)
	if len(left) != 0 {
		t.Errorf("left: %v", left)
	}
}

func TestWrongPassword(t *testing.T) {
	s := serve(t, nil)
	if _, err := mount(t, s, 0, "wrong"); err == nil || !strings.Contains(err.Error(), "logon is invalid") && !strings.Contains(strings.ToLower(err.Error()), "logon") {
		t.Errorf("wrong password: %v", err)
	}
	if n := s.log.count("logon refused"); n != 1 || s.log.count("user=alice") != 1 || s.log.count("address=127.0.0.1") != 1 {
		t.Errorf("%d log lines:\n%s", n, s.log.b.String())
	}
}

func TestUsersOfShare(t *testing.T) {
	s := serve(t, func(c *config.Config) { c.Exports[0].Users = []string{"bob"} })
	session, err := mount(t, s, 0, "secret")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := session.Mount("share"); err == nil {
		t.Error("alice came into bob's share")
	}
	if _, err := session.Mount("nothing"); err == nil {
		t.Error("a share that does not exist was mounted")
	}
}

func TestReadOnlyShare(t *testing.T) {
	s := serve(t, func(c *config.Config) { c.Exports[0].ReadOnly = true })
	os.WriteFile(s.dir+"/file", []byte("text"), 0o644)
	session, err := mount(t, s, 0, "secret")
	if err != nil {
		t.Fatal(err)
	}
	fs, err := session.Mount("share")
	if err != nil {
		t.Fatal(err)
	}
	if b, err := fs.ReadFile("file"); string(b) != "text" {
		t.Errorf("read: %q, %v", b, err)
	}
	if fs.WriteFile("file", []byte("other"), 0o644) == nil || fs.WriteFile("new", nil, 0o644) == nil || fs.Remove("file") == nil ||
		fs.Mkdir("d", 0o755) == nil || fs.Rename("file", "g") == nil {
		t.Error("a read-only share was changed")
	}
	if b, _ := os.ReadFile(s.dir + "/file"); string(b) != "text" {
		t.Errorf("the file is %q", b)
	}
}

// Links lead wherever they like, beneath the root; no way leads out.
func TestNoWayOut(t *testing.T) {
	s := serve(t, nil)
	outside := t.TempDir()
	os.WriteFile(outside+"/secret", []byte("secret"), 0o644)
	os.MkdirAll(s.dir+"/a/b", 0o755)
	os.WriteFile(s.dir+"/a/file", []byte("text"), 0o644)
	os.Symlink("../file", s.dir+"/a/b/inside")
	os.Symlink(outside+"/secret", s.dir+"/absolute")
	os.Symlink("../"+filepath.Base(outside)+"/secret", s.dir+"/relative")
	os.Symlink(outside, s.dir+"/directory")
	os.Symlink("nothing", s.dir+"/dangling")
	session, err := mount(t, s, 0, "secret")
	if err != nil {
		t.Fatal(err)
	}
	fs, err := session.Mount("share")
	if err != nil {
		t.Fatal(err)
	}
	if b, err := fs.ReadFile(`a\b\inside`); string(b) != "text" {
		t.Errorf("a link within: %q, %v", b, err)
	}
	for _, name := range []string{"absolute", "relative", `directory\secret`, "dangling"} {
		if b, err := fs.ReadFile(name); err == nil {
			t.Errorf("%s: read %q", name, b)
		}
		if err := fs.WriteFile(name, []byte("x"), 0o644); err == nil {
			t.Errorf("%s: written", name)
		}
	}
	if b, _ := os.ReadFile(outside + "/secret"); string(b) != "secret" {
		t.Errorf("the file outside is %q", b)
	}
	if err := fs.Remove(`a\b\inside`); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(s.dir + "/a/b/inside"); err == nil {
		t.Error("the link is still there")
	}
	if b, _ := os.ReadFile(s.dir + "/a/file"); string(b) != "text" {
		t.Error("removing the link removed its file")
	}
}

// smbclient runs commands of Samba's client.
func smbclient(t *testing.T, s *served, commands string, args ...string) (string, error) {
	t.Helper()
	args = append([]string{"//127.0.0.1/share", "-p", s.port, "-U", "alice%secret", "-c", commands}, args...)
	cmd := exec.Command("smbclient", args...)
	cmd.Dir = t.TempDir()
	os.WriteFile(cmd.Dir+"/local", random64(200_000), 0o644)
	out, err := cmd.CombinedOutput()
	if b, e := os.ReadFile(cmd.Dir + "/back"); e == nil && !bytes.Equal(b, random64(200_000)) {
		t.Errorf("%v: what came back is not what was put", args)
	}
	return string(out), err
}

func TestSmbclient(t *testing.T) {
	commands := "mkdir d; put local d/remote; ls d/*; get d/remote back; rename d/remote d/other; setmode d/other +h; del d/other; rmdir d; ls"
	for _, c := range []struct {
		dialect string
		args    []string
		change  func(*config.Config)
	}{
		{"SMB2_02", nil, nil},
		{"SMB2_10", nil, nil},
		{"SMB3_00", nil, nil},
		{"SMB3_02", []string{"--client-protection=encrypt"}, nil},
		{"SMB3_11", []string{"--client-protection=sign"}, func(c *config.Config) { c.SMB.Encryption = "off" }},
		{"SMB3_11", []string{"--client-protection=encrypt"}, func(c *config.Config) { c.Exports[0].Encrypt = true }},
		{"SMB3_11", nil, func(c *config.Config) { c.SMB.Encryption = "required" }},
		{"SMB3_11", []string{"--option=client smb3 encryption algorithms=AES-256-GCM"}, nil},
		{"SMB3_11", []string{"--option=client smb3 encryption algorithms=AES-128-CCM"}, nil},
		{"SMB3_11", []string{"--option=client smb3 signing algorithms=AES-128-CMAC"}, func(c *config.Config) { c.SMB.Encryption = "off" }},
	} {
		t.Run(c.dialect+" "+strings.Join(c.args, " "), func(t *testing.T) {
			s := serve(t, c.change)
			out, err := smbclient(t, s, commands, append(c.args, "-m", c.dialect)...)
			if err != nil || strings.Contains(out, "NT_STATUS") || !strings.Contains(out, "remote") {
				t.Errorf("%v\n%s", err, out)
			}
			if left, _ := os.ReadDir(s.dir); len(left) != 0 {
				t.Errorf("left: %v", left)
			}
		})
	}
}

// A client of a dialect below the one that is asked for, or without encryption where it is required, stays outside.
func TestRefusedDialects(t *testing.T) {
	for _, c := range []struct {
		dialect string
		change  func(*config.Config)
	}{
		{"SMB2_10", func(c *config.Config) { c.SMB.MinDialect = "3.0" }},
		{"SMB2_10", func(c *config.Config) { c.SMB.Encryption = "required" }},
		{"SMB2_10", func(c *config.Config) { c.Exports[0].Encrypt = true }},
		{"NT1", nil},
	} {
		s := serve(t, c.change)
		if out, err := smbclient(t, s, "ls", "-m", c.dialect, "--option=client min protocol=CORE"); err == nil {
			t.Errorf("%s came in:\n%s", c.dialect, out)
		}
	}
}

// Nobody may ask for the list of shares, and for nothing else.
func TestAnonymous(t *testing.T) {
	s := serve(t, nil)
	out, err := exec.Command("smbclient", "-L", "127.0.0.1", "-p", s.port, "-N").CombinedOutput()
	if err != nil || !strings.Contains(string(out), "share") || !strings.Contains(string(out), "a share") || !strings.Contains(string(out), "IPC$") {
		t.Errorf("%v\n%s", err, out)
	}
	if out, err := exec.Command("smbclient", "//127.0.0.1/share", "-p", s.port, "-N", "-c", "ls").CombinedOutput(); err == nil {
		t.Errorf("anonymous came in:\n%s", out)
	}
}

// Names that Windows has no characters for come and go by their images.
func TestStrangeNames(t *testing.T) {
	s := serve(t, nil)
	names := []string{"a:b", "what?", "tab\there", "dot.", "space ", "\xff\xfe", "plain", strings.Repeat("ä", 127) + "x"}
	for _, n := range names {
		if err := os.WriteFile(filepath.Join(s.dir, n), []byte(n), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	session, err := mount(t, s, 0, "secret")
	if err != nil {
		t.Fatal(err)
	}
	fs, err := session.Mount("share")
	if err != nil {
		t.Fatal(err)
	}
	list, err := fs.ReadDir("")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range list {
		b, err := fs.ReadFile(e.Name())
		if err != nil {
			t.Errorf("%q: %v", e.Name(), err)
		}
		got = append(got, string(b))
	}
	slices.Sort(got)
	slices.Sort(names)
	if !slices.Equal(got, names) {
		t.Errorf("got  %q\nwant %q", got, names)
	}
}

// A connection that ends in the middle leaves nothing open.
func TestDisconnect(t *testing.T) {
	s := serve(t, nil)
	session, err := mount(t, s, 0, "secret")
	if err != nil {
		t.Fatal(err)
	}
	fs, err := session.Mount("share")
	if err != nil {
		t.Fatal(err)
	}
	f, err := fs.Create("file")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(f, bytes.NewReader(random64(1<<20))); err != nil {
		t.Fatal(err)
	}
	if s.held() == 0 {
		t.Fatal("nothing is open")
	}
	s.Server.mu.Lock()
	for c := range s.conns {
		c.nc.Close()
	}
	s.Server.mu.Unlock()
	// serve's cleanup finds whatever is left.
	on, _ := os.ReadFile(s.dir + "/file")
	if sha256.Sum256(on) != sha256.Sum256(random64(1<<20)) {
		t.Error("the file is not what was written")
	}
}
