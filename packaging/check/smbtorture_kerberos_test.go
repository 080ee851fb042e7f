package check

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// Samba's own tests of sessions that end with their ticket: plain, signed, encrypted, and with the connection. [MS-SMB2] 3.3.5.2.9. All are
// slow, because they wait for tickets to end: DITTOFS_SMBTORTURE says which are run, as in TestSMBTorture.
func TestSMBTortureKerberos(t *testing.T) {
	which := os.Getenv("DITTOFS_SMBTORTURE")
	tests := []string{"smb2.session.expire_disconnect", "smb2.session.expire1n", "smb2.session.expire1s", "smb2.session.expire1e", "smb2.session.expire2s", "smb2.session.expire2e"}
	tests = slices.DeleteFunc(tests, func(name string) bool { return which != "all" && (which == "" || !strings.HasPrefix(name, which)) })
	if len(tests) == 0 {
		return
	}
	k := newKDC(t)
	k.run("kadmin.local", "-q", "addprinc -pw password daemon")
	k.write("hosts", "127.0.0.1 localhost "+kerberized+"\n")
	if err := unix.Mount(filepath.Join(k.dir, "hosts"), "/etc/hosts", "", unix.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Unmount("/etc/hosts", unix.MNT_DETACH) })
	g := up(t, tree(t), "--keytab", k.keytab(), "--no-ntlm")
	_, port, _ := net.SplitHostPort(g.Ready["smb"])

	var all sync.WaitGroup
	for _, test := range tests {
		all.Go(func() {
			dir := t.TempDir()
			conf := filepath.Join(dir, "smb.conf")
			var text strings.Builder
			text.WriteString("[global]\nrealm = " + realm + "\nworkgroup = CHECK\nclient min protocol = SMB2_02\n")
			for _, d := range []string{"private dir", "lock directory", "state directory", "cache directory", "pid directory", "ncalrpc dir"} {
				text.WriteString(d + " = " + dir + "\n")
			}
			if err := os.WriteFile(conf, []byte(text.String()), 0o600); err != nil {
				t.Error(err)
				return
			}
			cmd := exec.Command("smbtorture", "//"+kerberized+"/share", "-p", port, "-s", conf, "--basedir="+dir, "--format=subunit",
				"-U", "daemon@"+realm+"%password", "--use-kerberos=required", "--fullname", test)
			cmd.Env = append(os.Environ(), "KRB5_CONFIG="+k.dir+"/krb5.conf", "KRB5CCNAME=FILE:"+dir+"/cache")
			if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "success: ") {
				t.Errorf("%s: %v\n%s", test, err, out)
			}
		})
	}
	all.Wait()
}
