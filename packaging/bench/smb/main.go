// Smb measures this server and Samba in turn, over the same directories, with SMB 3.1.1 clients of one program: make bench-smb.
//
// Both run in namespaces of their own, started anew for each directory, with the settings that sharing the files with NFS needs. A line of the
// table is one operation, plain, signed or sealed, by so many clients with so many calls under way on each. It tells how often a second each
// server does it, how much processor time of the server's one takes, and the ratios of ours to Samba's.
//
// No locks.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	smb2 "github.com/cloudsoda/go-smb2"

	"dittofs/packaging/bench/side"
)

var (
	bin     = flag.String("bin", "bin", "directory of the built programs")
	only    = flag.String("run", "", "operations whose name matches")
	servers = flag.String("servers", "dittofs,samba", "")
	areas   = flag.String("areas", "tmpfs,disk", "tmpfs, disk: a directory in /var/tmp")
	long    = flag.Duration("for", 2*time.Second, "time for each measurement")
	shapes  = flag.String("shapes", "1x1,1x8,8x1", "clients x calls under way on each")
	profile = flag.String("profile", "", "directory for the CPU profiles of the daemons in each measurement")
	idle    = flag.Int("idle", 500, "idle sessions that are held to measure their memory")
)

func main() {
	flag.Parse()
	side.Main(run)
}

func run() error {
	if err := side.Settle(); err != nil {
		return err
	}
	match, err := regexp.Compile(*only)
	if err != nil {
		return err
	}
	return side.Compare(*areas, *servers, 1<<30, func(name, _, dir, state string, report func(string, side.Result)) error {
		for _, share := range shares {
			if err := prepare(filepath.Join(dir, share)); err != nil {
				return err
			}
		}
		s, err := start(name, dir, state)
		if err != nil {
			return err
		}
		defer s.Stop()
		measureAll(s, match, report)
		if *idle > 0 && match.MatchString("idle") {
			holdIdle(s, name)
		}
		return nil
	})
}

// prepare makes what the operations read.
func prepare(dir string) error {
	for _, d := range []string{".", "list", "work"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o777); err != nil {
			return err
		}
		os.Chmod(filepath.Join(dir, d), 0o777)
	}
	for i := range entries {
		if err := os.WriteFile(filepath.Join(dir, "list", fmt.Sprintf("entry-%06d.txt", i)), nil, 0o666); err != nil {
			return err
		}
	}
	big := filepath.Join(dir, "big")
	if err := os.WriteFile(big, make([]byte, bigSize), 0o666); err != nil {
		return err
	}
	return os.Chmod(big, 0o666)
}

func measureAll(s *side.Server, match *regexp.Regexp, report func(string, side.Result)) {
	for _, o := range operations {
		if !match.MatchString(o.name) {
			continue
		}
		for _, protection := range o.protections {
			for _, shape := range strings.Split(*shapes, ",") {
				var clients, depth int
				if _, err := fmt.Sscanf(shape, "%dx%d", &clients, &depth); err != nil || o.lone && clients*depth > 1 {
					continue
				}
				done := s.Profile(*profile, fmt.Sprintf("%.12s-%s-%s", o.name, protection, shape), *long, "smbd", "gateway", "fusefs")
				r := measure(s, o, protection, clients, depth)
				done()
				report(fmt.Sprintf("%-26s %-7s %5s", o.name, protection, shape), r)
			}
		}
	}
}

// measure runs one operation for the time that the command line asks for.
func measure(s *side.Server, o operation, protection string, clients, depth int) side.Result {
	var (
		wg    sync.WaitGroup
		units atomic.Int64
		fault atomic.Pointer[error]
		stop  = make(chan struct{})
	)
	fail := func(err error) { fault.CompareAndSwap(nil, &err) }
	var workers []func() (int, error)
	var leave []func()
	for c := range clients {
		var share *smb2.Share
		if !o.own {
			session, err := dial(protection)
			if err != nil {
				return side.Result{Err: err}
			}
			share, err = session.Mount(protection)
			if err != nil {
				return side.Result{Err: err}
			}
			leave = append(leave, func() { share.Umount(); session.Logoff() })
		}
		for d := range depth {
			w, end, err := o.begin(share, protection, c*depth+d)
			if err != nil {
				return side.Result{Err: err}
			}
			workers, leave = append(workers, w), append([]func(){end}, leave...)
		}
	}
	before, began := s.CPU(), time.Now()
	for _, w := range workers {
		wg.Go(func() {
			for fault.Load() == nil {
				select {
				case <-stop:
					return
				default:
				}
				n, err := w()
				if err != nil {
					fail(err)
					return
				}
				units.Add(int64(n))
			}
		})
	}
	time.AfterFunc(*long, func() { close(stop) })
	wg.Wait()
	took := time.Since(began)
	for _, f := range leave {
		f()
	}
	time.Sleep(100 * time.Millisecond) // for processes that end
	cpu := s.CPU() - before
	if e := fault.Load(); e != nil {
		return side.Result{Err: *e}
	}
	n := max(units.Load(), 1)
	return side.Result{Rate: float64(n) / took.Seconds(), CPU: cpu / time.Duration(n)}
}

// dial opens a session. Who asks for signing gets it; a sealed share seals by itself. The client's books forget what NEGOTIATE, SESSION_SETUP
// and TREE_CONNECT took of its credits, so that it must never come to the last of them ([MS-SMB2] 3.2.4.1.2): depth 8 of 1 MiB takes 128.
func dial(protection string) (*smb2.Session, error) {
	d := smb2.Dialer{Initiator: &smb2.NTLMInitiator{User: user, Password: password}, MaxCreditBalance: 512}
	d.Negotiator.RequireMessageSigning = protection == "signed"
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	return d.Dial(ctx, "127.0.0.1:445")
}

// holdIdle tells what a session costs that does nothing.
func holdIdle(s *side.Server, name string) {
	var held []*smb2.Session
	before := s.Resident()
	for range *idle {
		session, err := dial("signed")
		if err == nil {
			_, err = session.Mount("signed")
			held = append(held, session)
		}
		if err != nil {
			fmt.Printf("%s: after %d sessions: %v\n", name, len(held), err)
			break
		}
	}
	if len(held) > 0 {
		fmt.Printf("%s: %d idle sessions, %d KiB of memory for each\n", name, len(held), (s.Resident()-before)/int64(len(held))>>10)
	}
	for _, h := range held {
		h.Logoff()
	}
}
