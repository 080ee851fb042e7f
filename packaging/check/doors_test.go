package check

import (
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// fill lays a real tree into dir: the project's own source, and names that are hard to carry.
func fill(t *testing.T, dir string) {
	t.Helper()
	src, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	list, err := exec.Command("git", "-C", src, "-c", "safe.directory=*", "ls-files", "-z").Output()
	if err != nil {
		t.Fatal(err)
	}
	for name := range strings.SplitSeq(strings.TrimSuffix(string(list), "\x00"), "\x00") {
		b, err := os.ReadFile(filepath.Join(src, name))
		if err != nil {
			continue // deleted, and not yet committed
		}
		to := filepath.Join(dir, "source", name)
		os.MkdirAll(filepath.Dir(to), 0o777)
		if err := os.WriteFile(to, b, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := exec.Command("chmod", "-R", "a+rwX", dir).CombinedOutput(); err != nil {
		t.Fatalf("%s", out)
	}
}

// noise writes size random bytes to a file outside the tree.
func noise(t *testing.T, size int64) string {
	t.Helper()
	f, err := os.CreateTemp("/var/tmp", "dittofs-noise-")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	t.Cleanup(func() { os.Remove(f.Name()) })
	f.Chmod(0o644)
	if _, err := io.CopyN(f, rand.Reader, size); err != nil {
		t.Fatal(err)
	}
	return f.Name()
}

func sum(t *testing.T, path string) string {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%x", h.Sum(nil))
}

// A file that was written through one door is read back byte for byte through the others.
func TestThreeDoorsSameBytes(t *testing.T) {
	dir := tree(t)
	fill(t, dir)
	g := up(t, dir)

	writers := map[string]func(from, name string){
		"nfs": func(from, name string) { mustRun(t, "nfs-cp", from, g.nfsURL(name)) },
		"smb": func(from, name string) {
			if out, err := g.smbclient(fmt.Sprintf(`put %q %q`, from, strings.ReplaceAll(name, "/", `\`))); err != nil {
				t.Fatalf("smbclient put: %v\n%s", err, out)
			}
		},
		"local": func(from, name string) { mustRun(t, "cp", from, filepath.Join(dir, name)) },
	}
	readers := map[string]func(name, to string){
		"nfs": func(name, to string) { mustRun(t, "nfs-cp", g.nfsURL(name), to) },
		"smb": func(name, to string) {
			if out, err := g.smbclient(fmt.Sprintf(`get %q %q`, strings.ReplaceAll(name, "/", `\`), to)); err != nil {
				t.Fatalf("smbclient get: %v\n%s", err, out)
			}
		},
		"local": func(name, to string) { mustRun(t, "cp", filepath.Join(dir, name), to) },
	}
	back := filepath.Join(t.TempDir(), "back")
	check := func(writer, from, name string) {
		t.Helper()
		writers[writer](from, name)
		want := sum(t, from)
		for reader, get := range readers {
			os.Remove(back)
			get(name, back)
			if got := sum(t, back); got != want {
				t.Errorf("written through %s, read through %s: %s differs", writer, reader, name)
			}
		}
	}

	small := noise(t, 70001)
	for i, name := range []string{"name with spaces.bin", "sp ace/in a directory", "Grüße, 世界 😀.bin", strings.Repeat("n", 251) + ".bin"} {
		os.MkdirAll(filepath.Join(dir, filepath.Dir(name)), 0o777)
		os.Chmod(filepath.Join(dir, filepath.Dir(name)), 0o777)
		for writer := range writers {
			// 255 bytes is the longest name, so the writer's letter replaces the first one.
			check(writer, small, filepath.Join(filepath.Dir(name), string("abcdef"[i])+writer[:1]+filepath.Base(name)[2:]))
		}
	}
	big := noise(t, 1<<30)
	for writer := range writers {
		check(writer, big, "big-"+writer)
	}

	// The source tree reads the same through every door.
	for _, name := range []string{"source/go.mod", "source/gateway/lock/manager.go"} {
		for reader, get := range readers {
			os.Remove(back)
			get(name, back)
			if sum(t, back) != sum(t, filepath.Join("../..", strings.TrimPrefix(name, "source/"))) {
				t.Errorf("%s read through %s differs", name, reader)
			}
		}
	}
	out, err := g.smbclient(`ls "source\gateway\*"`)
	if err != nil || !strings.Contains(out, "lock") {
		t.Errorf("smbclient ls: %v\n%s", err, out)
	}
	out = mustRun(t, "nfs-ls", g.nfsURL("source/gateway"))
	if !strings.Contains(out, "lock") {
		t.Errorf("nfs-ls:\n%s", out)
	}
}

// What stops `dittofs up` is said in one line, and nothing is left behind.
func TestUpRefuses(t *testing.T) {
	dir := tree(t)
	hold, err := net.Listen("tcp", "127.0.0.1:2049")
	if err != nil {
		t.Fatal(err)
	}
	defer hold.Close()
	state := filepath.Join(filepath.Dir(dir), "state")
	prog := filepath.Join(bin, "dittofs")
	for what, c := range map[string]struct {
		cmd  []string
		want string
	}{
		"a taken port":             {[]string{prog, "up", dir, "--state", state, "--listen", "127.0.0.1"}, "port 2049 for nfs is taken"},
		"a directory that isn't":   {[]string{prog, "up", dir + "/no", "--state", state, "--nfs-port", "0"}, "there is no directory"},
		"a file":                   {[]string{prog, "up", "/etc/passwd", "--state", state, "--nfs-port", "0"}, "is not a directory"},
		"no /dev/fuse":             {[]string{"unshare", "-m", "sh", "-c", `mount -t tmpfs none /dev && exec "$0" "$@"`, prog, "up", dir, "--state", state, "--nfs-port", "0"}, "/dev/fuse"},
		"state inside the tree":    {[]string{prog, "up", dir, "--state", dir + "/s", "--nfs-port", "0"}, "inside the directory that is served"},
		"a listener that is no IP": {[]string{prog, "up", dir, "--state", state, "--listen", "here"}, "not an IP address"},
	} {
		cmd := exec.Command(c.cmd[0], c.cmd[1:]...)
		out, _ := cmd.CombinedOutput()
		lines := strings.Split(strings.TrimSpace(string(out)), "\n")
		if cmd.ProcessState.ExitCode() != 1 || len(lines) != 1 || !strings.Contains(lines[0], c.want) {
			t.Errorf("%s: exit %d, %d lines:\n%s\nwant one line with %q", what, cmd.ProcessState.ExitCode(), len(lines), out, c.want)
		}
		if _, err := os.Stat(state); err == nil {
			t.Errorf("%s: the state directory was left behind", what)
		}
		if _, err := os.ReadDir(dir); err != nil {
			t.Errorf("%s: the directory: %v", what, err)
		}
	}
}

// After Ctrl-C the directory is as any directory, with what was written through the mount.
func TestCtrlCLeavesADirectory(t *testing.T) {
	dir := tree(t)
	g := up(t, dir)
	if err := os.WriteFile(filepath.Join(dir, "f"), []byte("kept"), 0o666); err != nil {
		t.Fatal(err)
	}
	if !mounted(t, dir) {
		t.Fatal("the directory is not under the mount while the gateway runs")
	}
	g.Stop()
	if mounted(t, dir) {
		t.Error("the mount is left behind")
	}
	if b, err := os.ReadFile(filepath.Join(dir, "f")); err != nil || string(b) != "kept" {
		t.Errorf("after Ctrl-C: %q, %v", b, err)
	}
	for _, d := range []string{"gateway", "fusefs", "lockd", "statd", "smbd"} {
		if p := g.pid(d); p != 0 {
			t.Errorf("dittofs-%s still runs", d)
		}
	}
}

func mounted(t *testing.T, dir string) bool {
	t.Helper()
	b, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	return strings.Contains(string(b), " "+dir+" ")
}

// The share list names the share without a password.
func TestShareList(t *testing.T) {
	g := up(t, tree(t))
	host, port, _ := strings.Cut(g.Ready["smb"], ":")
	out := mustRun(t, "smbclient", "-N", "-L", "//"+host, "-p", port)
	if !strings.Contains(out, "share") || !strings.Contains(out, "IPC$") {
		t.Errorf("smbclient -L:\n%s", out)
	}
}
