package check

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const (
	smbUser     = "check-user" // has no account here, so it acts as the tree's owner
	owner       = 1000         // the tree's; over NFS too
	smbPassword = "Secret 1"
)

// gateway is a running `dittofs up`.
type gateway struct {
	t     *testing.T
	Dir   string            // the tree, mounted
	State string            // its state directory
	Ready map[string]string // the ready line
	cmd   *exec.Cmd

	mu  sync.Mutex // guards the fields below
	log bytes.Buffer
}

// Write collects the daemons' log.
func (g *gateway) Write(b []byte) (int, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.log.Write(b)
}

// Log is what the daemons have logged so far.
func (g *gateway) Log() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.log.String()
}

// tree makes an empty directory that everybody may write to, on a real file system.
func tree(t *testing.T) string {
	t.Helper()
	base, err := os.MkdirTemp("/var/tmp", "dittofs-check-")
	if err != nil {
		t.Fatal(err)
	}
	os.Chmod(base, 0o755)
	dir := filepath.Join(base, "share")
	if err := os.Mkdir(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	os.Chmod(dir, 0o777)
	os.Chown(dir, owner, owner)
	t.Cleanup(func() {
		unix.Unmount(dir, unix.MNT_DETACH)
		if err := os.RemoveAll(base); err != nil {
			t.Errorf("the directory is not as any directory: %v", err)
		}
	})
	return dir
}

// up starts the gateway on a tree and waits for its ready line.
func up(t *testing.T, dir string, args ...string) *gateway {
	t.Helper()
	state := filepath.Join(filepath.Dir(dir), "state")
	return upWith(t, dir, state, append([]string{"up", dir, "--state", state, "--listen", "127.0.0.1", "--user", smbUser}, args...)...)
}

// upWith starts the gateway with these arguments; dir is one of the trees that it serves then.
func upWith(t *testing.T, dir, state string, args ...string) *gateway {
	t.Helper()
	g := &gateway{t: t, Dir: dir, State: state, Ready: map[string]string{}}
	g.cmd = exec.Command(filepath.Join(bin, "dittofs"), args...)
	g.cmd.Env = append(os.Environ(), "DITTOFS_PASSWORD="+smbPassword)
	g.cmd.Stderr = g
	out, err := g.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := g.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line := make(chan string, 1)
	go func() {
		sc := bufio.NewScanner(out)
		for sc.Scan() {
			if rest, ok := strings.CutPrefix(sc.Text(), "ready "); ok {
				line <- rest
				break
			}
		}
		close(line)
		io.Copy(io.Discard, out)
	}()
	t.Cleanup(func() {
		g.Stop()
		if t.Failed() {
			t.Logf("the daemons' log:\n%s", g.Log())
		}
	})
	select {
	case l, ok := <-line:
		if !ok {
			t.Fatal("dittofs up ended before it was ready")
		}
		for _, kv := range strings.Fields(l) {
			k, v, _ := strings.Cut(kv, "=")
			g.Ready[k] = v
		}
	case <-time.After(30 * time.Second):
		t.Fatal("dittofs up was not ready within 30 s")
	}
	return g
}

// killAll ends the supervisor and all daemons at once and cleans nothing up.
func (g *gateway) killAll() {
	g.t.Helper()
	all := []int{g.cmd.Process.Pid}
	for _, d := range []string{"gateway", "fusefs", "lockd", "statd", "smbd"} {
		if p := g.pid(d); p != 0 {
			all = append(all, p)
		}
	}
	if len(all) != 6 {
		g.t.Fatalf("only %d processes run", len(all))
	}
	for _, p := range all {
		syscall.Kill(p, syscall.SIGSTOP) // so that none sees another one's end
	}
	for _, p := range all {
		syscall.Kill(p, syscall.SIGKILL)
	}
	g.cmd.Wait()
	for _, d := range []string{"gateway", "fusefs", "lockd", "statd", "smbd"} {
		for deadline := time.Now().Add(10 * time.Second); g.pid(d) != 0 && time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		}
	}
}

// Stop ends the gateway as Ctrl-C does, and waits.
func (g *gateway) Stop() {
	if g.cmd.ProcessState != nil {
		return
	}
	g.cmd.Process.Signal(syscall.SIGINT)
	kill := time.AfterFunc(60*time.Second, func() { g.cmd.Process.Kill() })
	defer kill.Stop()
	if err := g.cmd.Wait(); err != nil {
		g.t.Errorf("dittofs up ended with %v", err)
	}
}

// dittofs runs the admin command against this gateway.
func (g *gateway) dittofs(args ...string) string {
	g.t.Helper()
	out, err := exec.Command(filepath.Join(bin, "dittofs"), append([]string{"--state", g.State}, args...)...).CombinedOutput()
	if err != nil {
		g.t.Fatalf("dittofs %v: %v\n%s", args, err, out)
	}
	return string(out)
}

// listed is one entry of `dittofs lock list --json`.
type listed struct {
	Path, Kind, Protocol, Owner, Mode string
	Start, Length                     uint64
}

func (g *gateway) locks() []listed {
	g.t.Helper()
	var l []listed
	if err := json.Unmarshal([]byte(g.dittofs("lock", "list", "--json")), &l); err != nil {
		g.t.Fatal(err)
	}
	return l
}

// serving reports whether every daemon is there and the trees are mounted that can be, as dittofs status says.
func (g *gateway) serving() bool {
	out, err := exec.Command(filepath.Join(bin, "dittofs"), "--state", g.State, "status").CombinedOutput()
	return err == nil && !strings.Contains(string(out), "away") && strings.Contains(string(out), "  mounted\n")
}

// pid finds a daemon of this gateway by its name and configuration file.
func (g *gateway) pid(daemon string) int {
	want := "dittofs-" + daemon + "\x00--config\x00" + filepath.Join(g.State, "gateway.toml")
	dirs, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, f := range dirs {
		b, _ := os.ReadFile(f)
		if strings.Contains(string(b), want) {
			n, _ := strconv.Atoi(strings.Split(f, "/")[2])
			return n
		}
	}
	return 0
}

// run runs a client to its end, a minute at most.
func run(t *testing.T, name string, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, name, args...).CombinedOutput()
	return string(out), err
}

func mustRun(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := run(t, name, args...)
	if err != nil {
		t.Fatalf("%s %q: %v\n%s", name, args, err, out)
	}
	return out
}

// smbclient runs commands of smbclient on the share.
func (g *gateway) smbclient(commands string, more ...string) (string, error) {
	g.t.Helper()
	host, port, _ := net.SplitHostPort(g.Ready["smb"])
	args := append([]string{"//" + host + "/" + filepath.Base(g.Dir), "-p", port, "-U", smbUser + "%" + smbPassword, "-c", commands}, more...)
	return run(g.t, "smbclient", args...)
}

// nfsURL is a file's URL for libnfs. It finds MOUNT through port 111.
func (g *gateway) nfsURL(name string) string {
	host, _, _ := net.SplitHostPort(g.Ready["nfs"])
	return fmt.Sprintf("nfs://%s%s/%s?uid=%d&gid=%d", host, g.Dir, name, owner, owner)
}

// peer is a client that takes JSON commands.
type peer struct {
	t   *testing.T
	in  io.WriteCloser
	out *bufio.Reader
}

type answer struct {
	Status  string
	Error   string
	Errno   string
	FID     string
	FD      int
	Lease   int
	Data    string
	ID      int
	Pending bool
	Free    bool
	Wrote   int
	Denied  int // auth_stat of a refused RPC call
	Durable bool
	Accept  int   // accept_stat other than SUCCESS
	Flavors []int // of MNT
	Breaks  []struct {
		Key      string
		From, To int
		Ack      bool
		Epoch    int
	}
}

type args map[string]any

func newPeer(t *testing.T, script string, env ...string) *peer {
	t.Helper()
	// Debian's own interpreter: the one that its python3-impacket belongs to.
	cmd := exec.Command("/usr/bin/python3", script)
	cmd.Env = env // none: ours
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	return &peer{t: t, in: in, out: bufio.NewReader(out)}
}

// begin sends a command; the answer comes on the channel.
func (p *peer) begin(do string, a args) <-chan answer {
	p.t.Helper()
	m := args{"do": do}
	for k, v := range a {
		m[k] = v
	}
	b, err := json.Marshal(m)
	if err != nil {
		p.t.Fatal(err)
	}
	if _, err := p.in.Write(append(b, '\n')); err != nil {
		p.t.Fatalf("%s: %v", do, err)
	}
	c := make(chan answer, 1)
	go func() {
		var r answer
		line, err := p.out.ReadBytes('\n')
		if err == nil {
			err = json.Unmarshal(line, &r)
		}
		if err != nil {
			r.Error = err.Error()
		}
		c <- r
	}()
	return c
}

func (p *peer) do(do string, a args) answer {
	p.t.Helper()
	r := <-p.begin(do, a)
	if r.Error != "" && r.Status == "" {
		p.t.Fatalf("%s %v: %s", do, a, r.Error)
	}
	return r
}

// smb is an SMB client, logged on.
func (g *gateway) smb(t *testing.T) *peer { t.Helper(); return g.smbAs(t, "") }

// smbAs is one with a ClientGuid.
func (g *gateway) smbAs(t *testing.T, guid string) *peer {
	t.Helper()
	p := newPeer(t, "smbpeer.py")
	host, port, _ := net.SplitHostPort(g.Ready["smb"])
	n, _ := strconv.Atoi(port)
	p.do("login", args{"host": host, "port": n, "user": smbUser, "password": smbPassword, "share": filepath.Base(g.Dir), "guid": guid})
	return p
}

// local is a program on this machine.
func local(t *testing.T) *peer {
	t.Helper()
	return newPeer(t, "localpeer.py")
}

// within waits for an answer that must come.
func within(t *testing.T, d time.Duration, what string, c <-chan answer) answer {
	t.Helper()
	select {
	case a := <-c:
		return a
	case <-time.After(d):
		t.Fatalf("%s: no answer within %v", what, d)
		return answer{}
	}
}

// waits checks that an answer has not come: whoever would have given it waits.
func waits(t *testing.T, what string, c <-chan answer) {
	t.Helper()
	select {
	case a := <-c:
		t.Fatalf("%s: did not wait: %+v", what, a)
	case <-time.After(300 * time.Millisecond):
	}
}
