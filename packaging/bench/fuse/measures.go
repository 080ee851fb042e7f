package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// measure is one kind of work; do returns the microseconds of one piece of it.
type measure struct {
	name string
	do   func(g *ground, dir string) (float64, error)
}

const size = 256 << 20

// In this order: what must be cold comes first.
var measures = []measure{
	{"stat, cold", func(_ *ground, dir string) (float64, error) {
		var st unix.Stat_t
		return each(files, func(i int) error { return unix.Stat(filepath.Join(dir, "many", fmt.Sprint("file-", i)), &st) })
	}},
	{"stat, hot", func(_ *ground, dir string) (float64, error) {
		var st unix.Stat_t
		path := filepath.Join(dir, "many", "file-7")
		return each(50000, func(int) error { return unix.Stat(path, &st) })
	}},
	{"open+close", func(_ *ground, dir string) (float64, error) {
		path := filepath.Join(dir, "many", "file-7")
		return each(5000, func(int) error {
			fd, err := unix.Open(path, unix.O_RDONLY, 0)
			if err == nil {
				err = unix.Close(fd)
			}
			return err
		})
	}},
	{"create+write+close+unlink", func(_ *ground, dir string) (float64, error) {
		buf := make([]byte, 4096)
		return each(3000, func(i int) error {
			path := filepath.Join(dir, fmt.Sprint("new-", i))
			fd, err := unix.Open(path, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL, 0o644)
			if err != nil {
				return err
			}
			unix.Write(fd, buf)
			unix.Close(fd)
			return unix.Unlink(path)
		})
	}},
	{"readdir of 10,000", func(_ *ground, dir string) (float64, error) {
		buf := make([]byte, 32<<10) // as glibc's readdir
		return each(10, func(int) error {
			fd, err := unix.Open(filepath.Join(dir, "many"), unix.O_RDONLY|unix.O_DIRECTORY, 0)
			if err != nil {
				return err
			}
			defer unix.Close(fd)
			for {
				if n, err := unix.Getdents(fd, buf); n == 0 || err != nil {
					return err
				}
			}
		})
	}},
	{"write, 1 MiB", func(_ *ground, dir string) (float64, error) { return write(dir, 1<<20, true) }},
	{"read, 1 MiB", func(_ *ground, dir string) (float64, error) { return read(dir, 1<<20, true) }},
	{"read again, 1 MiB", func(_ *ground, dir string) (float64, error) { // once more before: the first reading came right after the writing
		if _, err := read(dir, 1<<20, true); err != nil {
			return 0, err
		}
		return read(dir, 1<<20, true)
	}},
	{"write, 4 KiB at random", func(_ *ground, dir string) (float64, error) { return write(dir, 4<<10, false) }},
	{"read, 4 KiB at random", func(_ *ground, dir string) (float64, error) { return read(dir, 4<<10, false) }},
	{"find", func(_ *ground, dir string) (float64, error) {
		return each(3, func(int) error { return command("find", filepath.Join(dir, "repo"), "-size", "+1000000k") })
	}},
	{"git status", func(_ *ground, dir string) (float64, error) {
		return each(3, func(int) error {
			return command("git", "-c", "safe.directory=*", "-C", filepath.Join(dir, "repo"), "status", "-s", "-uno")
		})
	}},
	{"untar", func(g *ground, dir string) (float64, error) {
		out := filepath.Join(dir, "untar")
		if err := os.Mkdir(out, 0o755); err != nil {
			return 0, err
		}
		return each(1, func(int) error { return command("tar", "xf", g.tree, "-C", out) })
	}},
	{"rm -r", func(_ *ground, dir string) (float64, error) {
		return each(1, func(int) error { return command("rm", "-r", filepath.Join(dir, "untar")) })
	}},
}

// each does work n times and returns the microseconds of one.
func each(n int, work func(i int) error) (float64, error) {
	began := clock()
	for i := range n {
		if err := work(i); err != nil {
			return 0, err
		}
	}
	return float64(clock()-began) / 1e3 / float64(n), nil
}

func write(dir string, block int, inTurn bool) (float64, error) {
	return data(dir, block, inTurn, unix.Pwrite)
}

func read(dir string, block int, inTurn bool) (float64, error) {
	return data(dir, block, inTurn, unix.Pread)
}

// data goes through a file of size in blocks, in turn or at random. It is in the page cache: what the layer costs is seen, not the disk.
func data(dir string, block int, inTurn bool, do func(int, []byte, int64) (int, error)) (float64, error) {
	fd, err := unix.Open(filepath.Join(dir, "data"), unix.O_RDWR|unix.O_CREAT, 0o644)
	if err != nil {
		return 0, err
	}
	defer unix.Close(fd)
	buf := make([]byte, block)
	if st := (unix.Stat_t{}); unix.Fstat(fd, &st) == nil && st.Size < size {
		for at := int64(0); at < size; at += int64(len(buf)) {
			if _, err := unix.Pwrite(fd, buf, at); err != nil {
				return 0, err
			}
		}
	}
	rnd := rand.New(rand.NewPCG(1, 2))
	return each(min(size/block, 20000), func(i int) error {
		at := int64(i)
		if !inTurn {
			at = rnd.Int64N(size / int64(block))
		}
		_, err := do(fd, buf, at*int64(block))
		return err
	})
}
