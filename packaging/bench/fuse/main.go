// Fuse measures the mount beside its peers: the file system itself, libfuse's example passthrough_hp, and bindfs.
//
//	fuse [-rounds N] [-cpu] [-only REGEXP] [-targets native,dittofs,dittofs-nopass,passthrough_hp,passthrough_hp-nopass,bindfs]
//
// Each round serves a fresh ext4 in a loop device through each target in turn, and runs every measure there; the best of all rounds counts.
// Needs root. dittofs comes from DITTOFS_BIN, passthrough_hp from PASSTHROUGH_HP or the path; a peer that is not there has no column.
// dittofs-nopass is the mount as it is before Linux 6.9; it and its peer have a column only where -targets names them. That peer writes back
// late and asks for attributes once a day.
//
// No locks.
package main

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"text/tabwriter"

	"golang.org/x/sys/unix"

	"dittofs/packaging/bench/side"
)

func main() {
	rounds := flag.Int("rounds", 3, "how often each target is measured")
	only := flag.String("only", "", "measures whose names match")
	names := flag.String("targets", "native,dittofs,passthrough_hp,bindfs", "what is measured, in order")
	cpu := flag.Bool("cpu", false, "count what the processors did, not how long it took")
	flag.Parse()
	if *cpu {
		clock = processors
	}
	side.Main(func() error { return run(*rounds, regexp.MustCompile(*only), strings.Split(*names, ",")) })
}

func run(rounds int, only *regexp.Regexp, names []string) error {
	if err := side.Settle(); err != nil {
		return err
	}
	// passthrough_hp keeps a descriptor for each file that the kernel remembers.
	var most unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &most); err != nil {
		return err
	}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: most.Max, Max: most.Max}); err != nil {
		return err
	}
	var there []target
	for _, t := range targets() {
		if slices.Contains(names, t.name) {
			if t.program != "" {
				if _, err := exec.LookPath(t.program); err != nil {
					fmt.Fprintf(os.Stderr, "bench-fuse: no %s here\n", t.name)
					continue
				}
			}
			there = append(there, t)
		}
	}
	g, err := newGround()
	if err != nil {
		return err
	}
	defer g.remove()
	best := map[string]map[string]float64{}
	for range rounds {
		for _, t := range there {
			dir, leave, err := g.serve(t)
			if err != nil {
				return fmt.Errorf("%s: %w", t.name, err)
			}
			for _, m := range measures {
				if !only.MatchString(m.name) {
					continue
				}
				v, err := m.do(g, dir)
				if err != nil {
					fmt.Fprintf(os.Stderr, "bench-fuse: %s on %s: %v\n", m.name, t.name, err)
					continue
				}
				if best[m.name] == nil {
					best[m.name] = map[string]float64{}
				}
				if old, ok := best[m.name][t.name]; !ok || v < old {
					best[m.name][t.name] = v
				}
			}
			leave()
		}
	}
	table(there, best)
	return nil
}

// table prints times, and how many times the native one they are.
func table(there []target, best map[string]map[string]float64) {
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(w, "µs\t")
	for _, t := range there {
		fmt.Fprintf(w, "%s\t\t", t.name)
	}
	fmt.Fprintln(w)
	for _, m := range measures {
		row := best[m.name]
		if row == nil {
			continue
		}
		fmt.Fprintf(w, "%s\t", m.name)
		for _, t := range there {
			if row[t.name] == 0 {
				fmt.Fprint(w, "-\t\t")
				continue
			}
			fmt.Fprintf(w, "%.1f\t", row[t.name])
			if n := row["native"]; n > 0 && t.name != "native" {
				fmt.Fprintf(w, "×%.2f\t", row[t.name]/n)
			} else {
				fmt.Fprint(w, "\t")
			}
		}
		fmt.Fprintln(w)
	}
	w.Flush()
}
