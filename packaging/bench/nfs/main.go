// Nfs measures this server and NFS-Ganesha in turn, over the same directories, with a load generator of its own: make bench-nfs.
//
// Both run in mount, network and process namespaces of their own, started anew for each directory, with their defaults; each has the
// machine for itself while it is measured. A line of the table is one operation with so many connections and so many calls under way on
// each. It tells how often a second each server does it, how much processor time of the server's one takes, and the ratio.
//
// No locks.
package main

import (
	"flag"
	"fmt"
	"regexp"
	"strings"
	"time"

	"dittofs/packaging/bench/side"
)

var (
	bin     = flag.String("bin", "bin", "directory of the built programs")
	only    = flag.String("run", "", "operations whose name matches")
	servers = flag.String("servers", "dittofs,ganesha", "")
	areas   = flag.String("areas", "tmpfs,disk", "tmpfs, disk: a directory in /var/tmp")
	long    = flag.Duration("for", 2*time.Second, "time for each measurement")
	shapes  = flag.String("shapes", "1x1,1x32,8x1,8x32", "connections x depth")
	profile = flag.String("profile", "", "directory for the CPU profiles of the daemons in each measurement")
	idle    = flag.Int("idle", 0, "connections that are opened, used once and left idle at the end: what each costs of the server's memory")
	big     = flag.Bool("big", false, "READDIRPLUS of 100,000 names too, also by a server that just started")
)

func main() {
	flag.Parse()
	side.Main(run)
}

func run() error {
	if err := settle(); err != nil {
		return err
	}
	match, err := regexp.Compile(*only)
	if err != nil {
		return err
	}
	return side.Compare(*areas, *servers, 1500<<20, func(name, area, dir, state string, report func(string, side.Result)) error {
		s, err := startServer(name, dir, state)
		if err != nil {
			return err
		}
		defer func() { s.Stop() }()
		err = measureAll(s, match, report)
		if err == nil && *big && match.MatchString(massCold) {
			s.Stop()
			if s, err = startServer(name, dir, state); err != nil {
				return err
			}
			report(fmt.Sprintf("%-34s %5s", massCold, "1x1"), listOnce(s, "mass"))
		}
		if *idle > 0 && err == nil {
			err = leaveIdle(s, name, *idle)
		}
		fmt.Printf("%s on %s: %d MiB resident at the end\n", name, area, s.Resident()>>20)
		return err
	})
}

func measureAll(s *server, match *regexp.Regexp, report func(string, side.Result)) error {
	for _, o := range operations(*big) {
		if !match.MatchString(o.name) {
			continue
		}
		m, err := mount(s.dir)
		if err != nil {
			return err
		}
		if o.prepare != nil {
			if err := o.prepare(m); err != nil {
				fmt.Printf("%s: %v\n", o.name, err)
				continue
			}
		}
		for _, shape := range strings.Split(*shapes, ",") {
			var conns, depth int
			if _, err := fmt.Sscanf(shape, "%dx%d", &conns, &depth); err != nil || o.lone && conns*depth > 1 {
				continue
			}
			done := s.Profile(*profile, fmt.Sprintf("%.12s-%s", o.name, shape), *long, "gateway", "lockd", "fusefs", "smbd")
			r := m.measure(o, conns, depth, *long, s.CPU)
			done()
			report(fmt.Sprintf("%-34s %5s", o.name, shape), r)
		}
		m.close()
	}
	return nil
}
