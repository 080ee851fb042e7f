package side

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// Profile takes the CPU profiles of some of our daemons for so long: dir gets a file for each, what.DAEMON. dir "": none.
func (s *Server) Profile(dir, what string, long time.Duration, daemons ...string) (wait func()) {
	var wg sync.WaitGroup
	if dir == "" || s.run == "" {
		return wg.Wait
	}
	what = strings.NewReplacer(" ", "-", ",", "", ":", "").Replace(what)
	for _, d := range daemons {
		wg.Go(func() {
			if err := fetch(filepath.Join(s.run, d+".metrics"), filepath.Join(dir, what+"."+d), long); err != nil {
				fmt.Fprintln(os.Stderr, "bench: profile:", err)
			}
		})
	}
	return wg.Wait
}

func fetch(socket, file string, long time.Duration) error {
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
