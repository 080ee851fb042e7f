package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// supervisor keeps the five daemons running for `dittofs up`, as systemd does for the installed package.
type supervisor struct {
	config string
	exits  chan exited
	alive  map[string]*os.Process
	start  chan string // names for the one thread that starts processes
	begun  chan error
}

type exited struct {
	name string
	err  error
}

// firstPause is the pause before a daemon that died is started again; it doubles while the daemon dies within a minute.
const (
	firstPause = 100 * time.Millisecond
	lastPause  = 5 * time.Second
)

func newSupervisor(config string) *supervisor {
	return &supervisor{config: config, exits: make(chan exited), alive: map[string]*os.Process{}, start: make(chan string), begun: make(chan error)}
}

// run starts the daemons, calls ready in its own goroutine, and returns when ctx ends or when a daemon dies before ready has returned.
func (s *supervisor) run(ctx context.Context, ready func(context.Context) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go s.starter()
	defer close(s.start)
	for _, name := range daemons {
		if err := s.launch(name); err != nil {
			s.stop()
			return err
		}
	}
	isReady := make(chan error, 1)
	go func() { isReady <- ready(ctx) }()

	pause, since, again := map[string]time.Duration{}, map[string]time.Time{}, make(chan string)
	up := false
	for {
		select {
		case <-ctx.Done():
			s.stop()
			return nil
		case err := <-isReady:
			if err != nil && ctx.Err() == nil {
				s.stop()
				return err
			}
			up = true
		case e := <-s.exits:
			delete(s.alive, e.name)
			if !up {
				s.stop()
				return fmt.Errorf("up: dittofs-%s could not start", e.name)
			}
			if time.Since(since[e.name]) > time.Minute {
				pause[e.name] = firstPause
			}
			wait := pause[e.name]
			since[e.name], pause[e.name] = time.Now(), min(2*wait, lastPause)
			fmt.Fprintf(os.Stderr, "dittofs: dittofs-%s ended (%v); starting it again\n", e.name, e.err)
			time.AfterFunc(wait, func() {
				select {
				case again <- e.name:
				case <-ctx.Done():
				}
			})
		case name := <-again:
			if err := s.launch(name); err != nil {
				fmt.Fprintf(os.Stderr, "dittofs: %v\n", err)
			}
		}
	}
}

func (s *supervisor) launch(name string) error {
	s.start <- name
	return <-s.begun
}

// timerSlack is how late a daemon's timers may be, in nanoseconds, as TimerSlackNSec in its unit; what they have it for says
// daemon.SpareProcessors.
var timerSlack = map[string]uintptr{"gateway": 1e6, "fusefs": 1e6, "smbd": 1e6}

// starter is the one thread that starts daemons: PR_SET_PDEATHSIG ends a child with the thread that started it, so this thread lives as
// long as the supervisor. A supervisor that is killed takes its daemons with it, cleanly, by SIGTERM.
func (s *supervisor) starter() {
	runtime.LockOSThread()
	for name := range s.start {
		self, err := os.Executable()
		if err != nil {
			s.begun <- err
			continue
		}
		cmd := exec.Command(filepath.Join(filepath.Dir(self), "dittofs-"+name), "--config", s.config)
		if _, err := os.Stat(cmd.Path); errors.Is(err, os.ErrNotExist) {
			cmd.Path = filepath.Join("/usr/sbin", "dittofs-"+name)
		}
		cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
		unix.Prctl(unix.PR_SET_TIMERSLACK, timerSlack[name], 0, 0, 0) // children inherit it; 0: as it was
		if err := cmd.Start(); err != nil {
			s.begun <- fmt.Errorf("up: dittofs-%s: %w", name, err)
			continue
		}
		s.alive[name] = cmd.Process
		go func() { s.exits <- exited{name, cmd.Wait()} }()
		s.begun <- nil
	}
}

// stop ends the daemons one by one, last started first, each with ten seconds before it is killed.
func (s *supervisor) stop() {
	for i := len(daemons) - 1; i >= 0; i-- {
		p := s.alive[daemons[i]]
		if p == nil {
			continue
		}
		p.Signal(syscall.SIGTERM)
		kill := time.AfterFunc(10*time.Second, func() { p.Kill() })
		for s.alive[daemons[i]] != nil {
			e := <-s.exits
			delete(s.alive, e.name)
		}
		kill.Stop()
	}
}
