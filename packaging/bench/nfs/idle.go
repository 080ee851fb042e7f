package main

import (
	"fmt"
	"net"
)

// leaveIdle opens n connections, makes one call on each, and prints what they cost of the server's memory. The kernel's sockets are not
// counted.
func leaveIdle(s *server, name string, n int) error {
	m, err := mount(s.dir)
	if err != nil {
		return err
	}
	defer m.close()
	at, err := portOf(progNFS)
	if err != nil {
		return err
	}
	before := s.Resident()
	var open []net.Conn
	defer func() {
		for _, c := range open {
			c.Close()
		}
	}()
	for range n {
		p, err := dial(at)
		if err != nil {
			return err
		}
		open = append(open, p.Conn)
		if _, err := p.one(handle(1, m.root)); err != nil {
			fmt.Printf("%s: no more than %d connections: %v\n", name, len(open)-1, err)
			break
		}
	}
	fmt.Printf("%s: %d idle connections, %.1f KiB each\n", name, len(open), float64(s.Resident()-before)/1024/float64(len(open)))
	return nil
}
