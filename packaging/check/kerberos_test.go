package check

import (
	"encoding/hex"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"dittofs/gateway/xdr"
)

const (
	realm      = "CHECK.EXAMPLE"
	kerberized = "server.check.example" // the host's name in its principals
)

// kdc is a Key Distribution Center of MIT's with its own database, and the keytab of the gateway's services.
type kdc struct {
	t   *testing.T
	dir string
	env []string
}

// newKDC starts one on the loopback interface of this namespace.
func newKDC(t *testing.T) *kdc {
	t.Helper()
	dir, err := os.MkdirTemp("/var/tmp", "dittofs-check-kdc-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	k := &kdc{t: t, dir: dir, env: append(os.Environ(), "KRB5_CONFIG="+dir+"/krb5.conf", "KRB5_KDC_PROFILE="+dir+"/kdc.conf")}
	k.write("krb5.conf", `[libdefaults]
  default_realm = `+realm+`
  dns_lookup_kdc = false
  dns_lookup_realm = false
  dns_canonicalize_hostname = false
  rdns = false
  qualify_shortname = ""
[realms]
  `+realm+` = {
    kdc = 127.0.0.1:8888
  }
[domain_realm]
  .check.example = `+realm+`
`)
	k.write("kdc.conf", `[kdcdefaults]
  kdc_listen = 127.0.0.1:8888
  kdc_tcp_listen = 127.0.0.1:8888
[realms]
  `+realm+` = {
    database_name = `+dir+`/principal
    key_stash_file = `+dir+`/stash
    acl_file = `+dir+`/acl
    supported_enctypes = aes256-cts-hmac-sha384-192:normal aes128-cts-hmac-sha256-128:normal aes256-cts-hmac-sha1-96:normal aes128-cts-hmac-sha1-96:normal
  }
`)
	k.run("kdb5_util", "create", "-s", "-P", "master", "-r", realm)
	for _, p := range []string{"nfs/" + kerberized, "cifs/" + kerberized} {
		k.run("kadmin.local", "-q", "addprinc -randkey "+p)
		k.run("kadmin.local", "-q", "ktadd -k "+k.keytab()+" "+p)
	}
	cmd := exec.Command("krb5kdc", "-n")
	cmd.Env = k.env
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	for end := time.Now().Add(10 * time.Second); ; {
		c, err := net.Dial("tcp", "127.0.0.1:8888")
		if err == nil {
			c.Close()
			return k
		}
		if time.Now().After(end) {
			t.Fatal("the KDC does not answer")
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func (k *kdc) keytab() string { return filepath.Join(k.dir, "keytab") }

func (k *kdc) write(name, text string) {
	k.t.Helper()
	if err := os.WriteFile(filepath.Join(k.dir, name), []byte(text), 0o600); err != nil {
		k.t.Fatal(err)
	}
}

func (k *kdc) run(name string, args ...string) {
	k.t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Env = k.env
	if out, err := cmd.CombinedOutput(); err != nil {
		k.t.Fatalf("%s %q: %v\n%s", name, args, err, out)
	}
}

// login makes a user whose tickets are of one encryption type, and returns the environment of a program that runs as that user.
func (k *kdc) login(user, etype string) []string {
	k.t.Helper()
	k.run("kadmin.local", "-q", "addprinc -pw password "+user)
	cache := filepath.Join(k.dir, "cache-"+user+"-"+etype)
	conf := filepath.Join(k.dir, "krb5-"+etype+".conf")
	b, err := os.ReadFile(filepath.Join(k.dir, "krb5.conf"))
	if err != nil {
		k.t.Fatal(err)
	}
	text := strings.Replace(string(b), "[libdefaults]\n", "[libdefaults]\n  default_tkt_enctypes = "+etype+"\n  default_tgs_enctypes = "+etype+
		"\n  permitted_enctypes = "+etype+"\n", 1)
	k.write(filepath.Base(conf), text)
	env := append(os.Environ(), "KRB5_CONFIG="+conf, "KRB5CCNAME=FILE:"+cache)
	cmd := exec.Command("kinit", user)
	cmd.Env, cmd.Stdin = env, strings.NewReader("password\n")
	if out, err := cmd.CombinedOutput(); err != nil {
		k.t.Fatalf("kinit %s: %v\n%s", user, err, out)
	}
	return env
}

// gss is an NFS client with RPCSEC_GSS that has a context.
func (g *gateway) gss(t *testing.T, env []string) *peer {
	t.Helper()
	p := newPeer(t, "gsspeer.py", env...)
	host, port, _ := net.SplitHostPort(g.Ready["nfs"])
	n, _ := strconv.Atoi(port)
	if a := p.do("connect", args{"host": host, "port": n, "service": kerberized}); a.Error != "" || a.Denied != 0 {
		t.Fatalf("no context: %+v", a)
	}
	return p
}

// enc is XDR in hexadecimal.
func enc(f func(x *xdr.Stream)) string {
	x := xdr.Encoder(nil)
	f(&x)
	return hex.EncodeToString(x.Bytes())
}

func status(a answer) string {
	if len(a.Data) < 8 {
		return fmt.Sprintf("%+v", a)
	}
	n, _ := strconv.ParseUint(a.Data[:8], 16, 32)
	return strconv.FormatUint(n, 10)
}

// Clients with RPCSEC_GSS on MIT's Kerberos: each service, each encryption type, act as the principal's account, and only with the flavors
// that the export names.
func TestNFSKerberos(t *testing.T) {
	k := newKDC(t)
	dir := tree(t)
	secret := filepath.Join(dir, "secret")
	if err := os.WriteFile(secret, []byte("only for daemon"), 0o600); err != nil {
		t.Fatal(err)
	}
	os.Chown(secret, 1, 1) // daemon's ids on every Debian
	g := up(t, dir, "--keytab", k.keytab(), "--sec", "krb5,krb5i,krb5p")

	host, port, _ := net.SplitHostPort(g.Ready["mount"])
	n, _ := strconv.Atoi(port)
	p := g.gss(t, k.login("daemon", "aes256-cts-hmac-sha1-96"))
	m := p.do("mnt", args{"host": host, "port": n, "path": dir})
	if !slices.Equal(m.Flavors, []int{390003, 390004, 390005}) {
		t.Fatalf("MNT: %+v", m)
	}
	root, err := hex.DecodeString(m.Data)
	if err != nil {
		t.Fatal(err)
	}
	lookup := enc(func(x *xdr.Stream) {
		name := "secret"
		x.Opaque(&root, 64)
		x.String(&name, 255)
	})
	found := p.do("call", args{"proc": 3, "level": 1, "data": lookup})
	if status(found) != "0" {
		t.Fatalf("LOOKUP: %+v", found)
	}
	b, _ := hex.DecodeString(found.Data[8:])
	x := xdr.Decoder(b)
	var fh []byte
	x.Opaque(&fh, 64)
	read := enc(func(x *xdr.Stream) {
		offset, count := uint64(0), uint32(100)
		x.Opaque(&fh, 64)
		x.Uint64(&offset)
		x.Uint32(&count)
	})
	write := enc(func(x *xdr.Stream) {
		offset, count, stable, data := uint64(5), uint32(3), uint32(2), []byte("FOR")
		x.Opaque(&fh, 64)
		x.Uint64(&offset)
		x.Uint32(&count)
		x.Uint32(&stable)
		x.Opaque(&data, 100)
	})

	text := "only for daemon"
	for _, etype := range []string{"aes128-cts-hmac-sha1-96", "aes256-cts-hmac-sha1-96", "aes128-cts-hmac-sha256-128", "aes256-cts-hmac-sha384-192"} {
		p := g.gss(t, k.login("daemon", etype))
		for level := 1; level <= 3; level++ {
			r := p.do("call", args{"proc": 6, "level": level, "data": read})
			if !strings.Contains(r.Data, hex.EncodeToString([]byte(text))) || r.Error != "" {
				t.Errorf("%s, level %d: READ %+v", etype, level, r)
			}
			if w := p.do("call", args{"proc": 7, "level": level, "data": write}); status(w) != "0" || w.Error != "" {
				t.Errorf("%s, level %d: WRITE %+v", etype, level, w)
			}
			text = "only FOR daemon"
		}
		if got := p.do("call", args{"proc": 6, "level": 3, "data": read, "fault": "header"}); got.Denied != 13 {
			t.Errorf("%s: a header that is not proven: %+v", etype, got)
		}
		for level := 2; level <= 3; level++ {
			if got := p.do("call", args{"proc": 6, "level": level, "data": read, "fault": "args"}); got.Accept != 4 {
				t.Errorf("%s, level %d: arguments that are not proven: %+v", etype, level, got)
			}
		}
		if got := p.do("call", args{"proc": 6, "level": 2, "data": read, "fault": "replay"}); got.Error != "" {
			t.Errorf("%s: %+v", etype, got)
		}
		if got := p.do("destroy", nil); got.Error != "" || got.Denied != 0 {
			t.Errorf("%s: DESTROY: %+v", etype, got)
		}
		if got := p.do("call", args{"proc": 6, "level": 1, "data": read}); got.Denied != 13 {
			t.Errorf("%s: a context that was destroyed: %+v", etype, got)
		}
	}

	// A principal without an account is anonymous, and who says a uid without proof is not let in.
	stranger := g.gss(t, k.login("no-account-here", "aes256-cts-hmac-sha1-96"))
	if got := stranger.do("call", args{"proc": 6, "level": 2, "data": read}); status(got) != "13" {
		t.Errorf("a principal without an account: %+v", got)
	}
	sys := dialRPC(t, "", g.Ready["nfs"], 1)
	res, err := sys.try(100003, 3, 6, func(x *xdr.Stream) {
		offset, count := uint64(0), uint32(100)
		x.Opaque(&fh, 64)
		x.Uint64(&offset)
		x.Uint32(&count)
	})
	if err != nil {
		t.Fatal(err)
	}
	var st uint32
	if res.Uint32(&st); st != 13 {
		t.Errorf("AUTH_SYS where only Kerberos may come in: %d", st)
	}
}

// smbclient comes in with a ticket: as its account, with each encryption type, signed and sealed; and with a password only where that is let.
func TestSMBKerberos(t *testing.T) {
	k := newKDC(t)
	dir := tree(t)
	secret := filepath.Join(dir, "secret")
	if err := os.WriteFile(secret, []byte("only for daemon"), 0o600); err != nil {
		t.Fatal(err)
	}
	os.Chown(secret, 1, 1)
	g := up(t, dir, "--keytab", k.keytab(), "--no-ntlm")
	_, port, _ := net.SplitHostPort(g.Ready["smb"])
	smbclient := func(env []string, commands string, more ...string) (string, error) {
		cmd := exec.Command("smbclient", append([]string{"//" + kerberized + "/share", "-I", "127.0.0.1", "-p", port, "-c", commands}, more...)...)
		cmd.Env = env
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	for _, etype := range []string{"aes128-cts-hmac-sha1-96", "aes256-cts-hmac-sha1-96", "aes128-cts-hmac-sha256-128", "aes256-cts-hmac-sha384-192"} {
		env := k.login("daemon", etype)
		for _, protection := range []string{"sign", "encrypt"} {
			copied := filepath.Join(t.TempDir(), "copy")
			out, err := smbclient(env, "get secret "+copied, "--use-kerberos=required", "--client-protection="+protection)
			b, _ := os.ReadFile(copied)
			if err != nil || string(b) != "only for daemon" {
				t.Errorf("%s, %s: %v, %q\n%s", etype, protection, err, b, out)
			}
		}
	}
	// A session ends with its ticket, [MS-SMB2] 3.3.5.2.9.
	env := k.login("daemon", "aes256-cts-hmac-sha1-96")
	cmd := exec.Command("kinit", "-l", "3s", "daemon")
	cmd.Env, cmd.Stdin = env, strings.NewReader("password\n")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("kinit: %v\n%s", err, out)
	}
	cmd = exec.Command("smbclient", "//"+kerberized+"/share", "-I", "127.0.0.1", "-p", port, "--use-kerberos=required", "-N")
	cmd.Env, cmd.Stdin = env, strings.NewReader("ls\n!sleep 4\nls\n")
	if out, _ := cmd.CombinedOutput(); strings.Count(string(out), "secret") != 1 || strings.Count(string(out), "NT_STATUS_NETWORK_SESSION_EXPIRED") == 0 {
		t.Errorf("after the ticket's end:\n%s", out)
	}
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(10 * time.Millisecond) { // the list hears of it a moment later
		s := g.dittofs("session", "list")
		if !strings.Contains(s, "daemon") {
			break
		}
		if time.Now().After(deadline) {
			t.Errorf("a session that ended is listed:\n%s", s)
			break
		}
	}
	if out, err := smbclient(k.login("no-account-here", "aes256-cts-hmac-sha1-96"), "ls", "--use-kerberos=required"); err == nil || !strings.Contains(out, "LOGON_FAILURE") {
		t.Errorf("a principal without an account: %v\n%s", err, out)
	}
	if out, err := smbclient(os.Environ(), "ls", "-U", smbUser+"%"+smbPassword, "--use-kerberos=off"); err == nil {
		t.Errorf("a password where only tickets are let in:\n%s", out)
	}
	if log := g.Log(); !strings.Contains(log, "no-account-here@"+realm) {
		t.Error("the log does not name the principal that was refused")
	}
}
