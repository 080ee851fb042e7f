package tree

import (
	"os"
	"strconv"
	"time"
)

// Where nothing passes through, the kernel keeps what it reads in the page cache of the mount. It drops the pages of a file when it hears
// that another door changed the data, when it learns of another size or time of change (FUSE_AUTO_INVAL_DATA), and at each open unless
// it is told to keep them (FOPEN_KEEP_CACHE). An open sees what was written before it, whether that was heard of or not.

// tick is more than a file system's clock goes on at a time: two changes within one can leave the same version.
const tick = 20 * time.Millisecond

// settled is v if the next change will make another version of it, else no file's version.
func (v version) settled() version {
	if time.Since(time.Unix(v.ctime.Sec, int64(v.ctime.Nsec))) <= tick {
		return version{}
	}
	return v
}

// keeps reports whether an open that finds the version v finds the data that the page cache of the mount has. n is locked.
func (n *node) keeps(v version) bool {
	same := n.cached == v && v != version{}
	n.cached = v.settled()
	return same
}

// readAhead lets the kernel read as far ahead in m as one request goes; of itself it reads 128 KiB. Where /sys is not ours it stays so.
func readAhead(m *mount) {
	if m != nil {
		os.WriteFile("/sys/class/bdi/"+m.dev+"/read_ahead_kb", strconv.AppendInt(nil, maxIO>>10, 10), 0)
	}
}
