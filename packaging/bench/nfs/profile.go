package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
)

// profile takes CPU profiles of the daemons that an NFS client keeps busy, over one measurement, where the command line asks for them.
func (s *server) profile(name string) (wait func()) {
	var busy sync.WaitGroup
	if *profile == "" || s.run == "" {
		return busy.Wait
	}
	for _, daemon := range []string{"gateway", "lockd", "fusefs", "smbd"} {
		busy.Go(func() {
			if err := fetch(filepath.Join(s.run, daemon+".metrics"), filepath.Join(*profile, name+"."+daemon)); err != nil {
				fmt.Fprintln(os.Stderr, "bench: profile:", err)
			}
		})
	}
	return busy.Wait
}

func fetch(socket, file string) error {
	c := http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", socket)
	}}}
	r, err := c.Get(fmt.Sprintf("http://daemon/debug/pprof/profile?seconds=%d", max(1, int(long.Seconds()))))
	if err != nil {
		return err
	}
	defer r.Body.Close()
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.Copy(f, r.Body)
	return err
}
