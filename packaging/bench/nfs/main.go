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
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

var (
	bin     = flag.String("bin", "bin", "directory of the built programs")
	only    = flag.String("run", "", "operations whose name matches")
	servers = flag.String("servers", "dittofs,ganesha", "")
	areas   = flag.String("areas", "tmpfs,disk", "tmpfs, disk: a directory in /var/tmp")
	long    = flag.Duration("for", 2*time.Second, "time for each measurement")
	shapes  = flag.String("shapes", "1x1,1x32,8x1,8x32", "connections x depth")
	profile = flag.String("profile", "", "directory for a CPU profile of dittofs-gateway in each measurement")
	big     = flag.Bool("big", false, "READDIRPLUS of 100,000 names too")
)

func main() {
	flag.Parse()
	if os.Getenv(inside) == "" {
		os.Exit(enter())
	}
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// result is what one server did in one measurement.
type result struct {
	rate float64       // units a second
	cpu  time.Duration // of the server, for a unit
	err  error
}

func run() error {
	if err := settle(); err != nil {
		return err
	}
	match, err := regexp.Compile(*only)
	if err != nil {
		return err
	}
	base, err := os.MkdirTemp("/var/tmp", "dittofs-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(base)
	for _, area := range strings.Split(*areas, ",") {
		dir, leave, err := ground(filepath.Join(base, area), area == "tmpfs")
		if err != nil {
			return err
		}
		results := map[string]map[string]result{} // by measurement, by server
		var order []string
		for _, name := range strings.Split(*servers, ",") {
			s, err := startServer(name, dir, filepath.Join(base, "state-"+area))
			if err != nil {
				return err
			}
			err = measureAll(s, match, func(what string, r result) {
				if results[what] == nil {
					results[what] = map[string]result{}
					order = append(order, what)
				}
				results[what][name] = r
			})
			fmt.Printf("%s on %s: %d MiB resident at the end\n", name, area, s.resident()>>20)
			s.stop()
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		}
		printTable(area, order, results)
		leave()
	}
	return nil
}

func measureAll(s *server, match *regexp.Regexp, report func(string, result)) error {
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
			done := s.profile(fmt.Sprintf("%.12s-%s", strings.NewReplacer(" ", "-", ",", "", ":", "").Replace(o.name), shape))
			r := m.measure(o, conns, depth, *long, s.cpu)
			done()
			report(fmt.Sprintf("%-34s %5s", o.name, shape), r)
		}
		m.close()
	}
	return nil
}

func printTable(area string, order []string, results map[string]map[string]result) {
	names := strings.Split(*servers, ",")
	fmt.Printf("\n%-40s", "on "+area+", each a second (µs of server CPU)")
	for _, n := range names {
		fmt.Printf(" %20s", n)
	}
	fmt.Println("   ratio")
	for _, what := range order {
		fmt.Printf("%-40s", what)
		for _, n := range names {
			r := results[what][n]
			if r.err != nil {
				fmt.Printf(" %20s", r.err)
				continue
			}
			fmt.Printf(" %11.0f (%6.1f)", r.rate, float64(r.cpu.Nanoseconds())/1000)
		}
		if a, b := results[what][names[0]], results[what][names[len(names)-1]]; len(names) > 1 && a.err == nil && b.err == nil && b.rate > 0 {
			fmt.Printf(" %7.2f", a.rate/b.rate)
		}
		fmt.Println()
	}
	fmt.Println()
}
