package tree

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// The same work through the mount and beneath it.
func BenchmarkDoor(b *testing.B) {
	m := mountTree(b, false)
	must(b, os.WriteFile(m.under("f"), make([]byte, 1<<20), 0o644))
	for _, side := range []struct{ name, path string }{{"mount", m.at("f")}, {"beneath", m.under("f")}} {
		b.Run("open+close/"+side.name, func(b *testing.B) {
			for b.Loop() {
				fd, err := unix.Open(side.path, unix.O_RDONLY, 0)
				must(b, err)
				unix.Close(fd)
			}
		})
		b.Run("stat/"+side.name, func(b *testing.B) {
			var st unix.Stat_t
			for b.Loop() {
				must(b, unix.Stat(side.path, &st))
			}
		})
		fd, err := unix.Open(side.path, unix.O_RDWR, 0)
		must(b, err)
		buf := make([]byte, 128<<10)
		b.Run("read128k/"+side.name, func(b *testing.B) {
			b.SetBytes(int64(len(buf)))
			for b.Loop() {
				_, err := unix.Pread(fd, buf, 0)
				must(b, err)
			}
		})
		b.Run("write4k/"+side.name, func(b *testing.B) {
			b.SetBytes(4096)
			for b.Loop() {
				_, err := unix.Pwrite(fd, buf[:4096], 0)
				must(b, err)
			}
		})
		big := make([]byte, 1<<20)
		b.Run("read1m/"+side.name, func(b *testing.B) {
			b.SetBytes(int64(len(big)))
			for b.Loop() {
				_, err := unix.Pread(fd, big, 0)
				must(b, err)
			}
		})
		b.Run("write1m/"+side.name, func(b *testing.B) {
			b.SetBytes(int64(len(big)))
			for b.Loop() {
				_, err := unix.Pwrite(fd, big, 0)
				must(b, err)
			}
		})
		unix.Close(fd)
		b.Run("create+unlink/"+side.name, func(b *testing.B) {
			for b.Loop() {
				fd, err := unix.Open(side.path+"x", unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL, 0o644)
				must(b, err)
				unix.Close(fd)
				must(b, unix.Unlink(side.path+"x"))
			}
		})
	}
}
