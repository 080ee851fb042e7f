package main

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// clock counts nanoseconds: of time, or with -cpu of processors, over all processes in this namespace. The latter says more on a busy
// machine.
var clock = func() int64 { return time.Now().UnixNano() }

func processors() (ns int64) {
	for _, who := range []int{unix.RUSAGE_SELF, unix.RUSAGE_CHILDREN} {
		var r unix.Rusage
		if unix.Getrusage(who, &r) == nil {
			ns += r.Utime.Nano() + r.Stime.Nano()
		}
	}
	tasks, _ := filepath.Glob("/proc/[0-9]*/task/*/schedstat")
	for _, t := range tasks {
		var ran, pid int64
		b, err := os.ReadFile(t)
		fmt.Sscanf(t, "/proc/%d/", &pid)
		if err == nil && pid != int64(os.Getpid()) {
			fmt.Sscan(string(b), &ran)
			ns += ran
		}
	}
	return ns
}
