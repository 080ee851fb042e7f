// Package side is what a measurement of two servers side by side needs: a small machine of its own, the servers as processes one after
// the other over the same directories, what processor time and memory they take, and a table of ratios.
//
// No locks.
package side

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const inside = "DITTOFS_BENCH_INSIDE"

// Main runs f in mount, network and process namespaces of their own, and ends the program with its status.
func Main(f func() error) {
	if os.Getenv(inside) == "" {
		os.Exit(enter())
	}
	if err := f(); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// enter runs this program again in new namespaces and returns its exit status.
func enter() int {
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Env = append(os.Environ(), inside+"=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNS | unix.CLONE_NEWNET | unix.CLONE_NEWPID, Pdeathsig: syscall.SIGKILL}
	err := cmd.Run()
	if e, ok := err.(*exec.ExitError); ok && e.ExitCode() >= 0 {
		return e.ExitCode()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench: needs root, for namespaces of its own:", err)
		return 1
	}
	return 0
}

// Settle makes the namespaces a small machine: private mounts, its own /proc and /run, the loopback interface up. Each of empty becomes
// an empty directory in memory.
func Settle(empty ...string) error {
	type mount struct {
		source, target, fstype string
		flags                  uintptr
	}
	mounts := []mount{{"", "/", "", unix.MS_REC | unix.MS_PRIVATE}, {"proc", "/proc", "proc", 0}, {"run", "/run", "tmpfs", 0}}
	for _, e := range empty {
		mounts = append(mounts, mount{"bench", e, "tmpfs", 0})
	}
	for _, m := range mounts {
		if err := unix.Mount(m.source, m.target, m.fstype, m.flags, ""); err != nil {
			return fmt.Errorf("mount %s: %w", m.target, err)
		}
	}
	if out, err := exec.Command("ip", "link", "set", "lo", "up").CombinedOutput(); err != nil {
		return fmt.Errorf("ip link set lo up: %s", out)
	}
	return nil
}

// ground makes a directory to serve, writable for everybody; in memory: on a tmpfs of that many bytes, unless 0.
func ground(dir string, memory int64) (tree string, leave func(), err error) {
	leave = func() {}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", nil, err
	}
	if memory > 0 {
		if err := unix.Mount("bench", dir, "tmpfs", 0, fmt.Sprintf("size=%d", memory)); err != nil {
			return "", nil, err
		}
		leave = func() { unix.Unmount(dir, unix.MNT_DETACH) }
	}
	dir += "/tree"
	if err := os.Mkdir(dir, 0o777); err != nil {
		return "", nil, err
	}
	return dir, leave, os.Chmod(dir, 0o777)
}

// Compare measures servers one after the other in each area: "tmpfs", of that many bytes, or "disk", a directory in /var/tmp. measure starts
// the server on dir, with its own records in state, reports what it did, and stops it. Each area ends with a table.
func Compare(areas, servers string, memory int64, measure func(name, area, dir, state string, report func(what string, r Result)) error) error {
	base, err := os.MkdirTemp("/var/tmp", "dittofs-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(base)
	os.Chmod(base, 0o755)
	for _, area := range strings.Split(areas, ",") {
		size := int64(0)
		if area == "tmpfs" {
			size = memory
		}
		dir, leave, err := ground(filepath.Join(base, area), size)
		if err != nil {
			return err
		}
		t := table{title: "on " + area + ", each a second and server CPU", servers: strings.Split(servers, ",")}
		for _, name := range t.servers {
			if err = measure(name, area, dir, filepath.Join(base, name+"-"+area), func(what string, r Result) { t.add(what, name, r) }); err != nil {
				err = fmt.Errorf("%s: %w", name, err)
				break
			}
		}
		t.print()
		leave()
		if err != nil {
			return err
		}
	}
	return nil
}

// Server is one that runs, with the processes that it started and those that stand beside it.
type Server struct {
	Cmd    *exec.Cmd
	Beside []*exec.Cmd
	run    string // of our sockets
}

// Start starts a server.
func Start(env []string, name string, args ...string) (*Server, error) {
	s := &Server{Cmd: exec.Command(name, args...)}
	s.Cmd.Env = append(os.Environ(), env...)
	s.Cmd.Stdout, s.Cmd.Stderr = os.Stderr, os.Stderr
	s.Cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // some end their whole process group
	return s, s.Cmd.Start()
}

// Dittofs starts `dittofs up`, with its sockets in run, and waits until it is ready.
func Dittofs(bin, run string, env []string, args ...string) (*Server, error) {
	s := &Server{Cmd: exec.Command(filepath.Join(bin, "dittofs"), append([]string{"up"}, args...)...), run: run}
	s.Cmd.Env = append(os.Environ(), env...)
	s.Cmd.Stderr = os.Stderr
	out, err := s.Cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := s.Cmd.Start(); err != nil {
		return nil, err
	}
	for sc := bufio.NewScanner(out); sc.Scan(); {
		if strings.HasPrefix(sc.Text(), "ready ") {
			go io.Copy(io.Discard, out)
			return s, nil
		}
	}
	s.Cmd.Wait()
	return nil, fmt.Errorf("dittofs up ended before it was ready")
}

// Stop ends the server, by force after 20 seconds.
func (s *Server) Stop() {
	for _, c := range append([]*exec.Cmd{s.Cmd}, s.Beside...) {
		c.Process.Signal(syscall.SIGTERM)
		kill := time.AfterFunc(20*time.Second, func() { c.Process.Kill() })
		c.Wait()
		kill.Stop()
	}
}

// processes are the server's, with all that descend from them.
func (s *Server) processes() (pids []int) {
	children := map[int][]int{}
	files, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, f := range files {
		if v := stat(f); len(v) > 2 {
			pid, _ := strconv.Atoi(strings.Split(f, "/")[2])
			parent, _ := strconv.Atoi(v[1])
			children[parent] = append(children[parent], pid)
		}
	}
	pids = []int{s.Cmd.Process.Pid}
	for _, c := range s.Beside {
		pids = append(pids, c.Process.Pid)
	}
	for i := 0; i < len(pids); i++ {
		pids = append(pids, children[pids[i]]...)
	}
	return pids
}

// stat is what follows the command's name in proc(5)'s stat.
func stat(file string) []string {
	b, _ := os.ReadFile(file)
	_, rest, _ := strings.Cut(string(b), ") ")
	return strings.Fields(rest)
}

// CPU is the processor time that the server has taken, with that of its processes that ended.
func (s *Server) CPU() (d time.Duration) {
	for _, p := range s.processes() {
		if v := stat(fmt.Sprintf("/proc/%d/stat", p)); len(v) > 14 {
			for _, field := range v[11:15] { // utime, stime, cutime, cstime in hundredths of a second
				n, _ := strconv.Atoi(field)
				d += time.Duration(n) * 10 * time.Millisecond
			}
		}
	}
	return d
}

// Resident is the memory of the server's processes in bytes: what is theirs alone, and their share of what several have (smaps_rollup's Pss).
func (s *Server) Resident() (n int64) {
	for _, p := range s.processes() {
		b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", p))
		for line := range strings.Lines(string(b)) {
			if f := strings.Fields(line); len(f) > 1 && f[0] == "Pss:" {
				k, _ := strconv.ParseInt(f[1], 10, 64)
				n += k << 10
			}
		}
	}
	return n
}

// Result is what one server did in one measurement.
type Result struct {
	Rate float64       // units a second
	CPU  time.Duration // of the server, for a unit
	Err  error
}

// table collects results by measurement and server, in the order in which they come.
type table struct {
	title   string
	servers []string
	order   []string
	results map[string]map[string]Result
}

// add notes a result.
func (t *table) add(what, server string, r Result) {
	if t.results == nil {
		t.results = map[string]map[string]Result{}
	}
	if t.results[what] == nil {
		t.results[what] = map[string]Result{}
		t.order = append(t.order, what)
	}
	t.results[what][server] = r
}

// print prints the table; the ratios are those of the first server to the last: of its rate, more is better, and of its processor time for
// a unit, less is better.
func (t *table) print() {
	fmt.Printf("\n%-44s", t.title)
	for _, n := range t.servers {
		fmt.Printf(" %24s", n)
	}
	fmt.Printf(" %8s %8s\n", "rate", "cpu")
	for _, what := range t.order {
		fmt.Printf("%-44s", what)
		for _, n := range t.servers {
			switch r, ok := t.results[what][n]; {
			case !ok:
				fmt.Printf(" %24s", "-")
			case r.Err != nil:
				fmt.Printf(" %24.24s", r.Err)
			default:
				fmt.Printf(" %11.0f/s %8.1f µs", r.Rate, float64(r.CPU.Nanoseconds())/1000)
			}
		}
		a, b := t.results[what][t.servers[0]], t.results[what][t.servers[len(t.servers)-1]]
		if len(t.servers) > 1 && a.Err == nil && b.Err == nil && b.Rate > 0 && b.CPU > 0 {
			fmt.Printf(" %8.2f %8.2f", a.Rate/b.Rate, float64(a.CPU)/float64(b.CPU))
		}
		fmt.Println()
	}
	fmt.Println()
}
