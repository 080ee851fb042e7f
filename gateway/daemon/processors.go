package daemon

import "runtime"

// SpareProcessors lets Go run n threads more at a time than the machine has cores. In a daemon whose threads wait in the kernel, for requests,
// answers and the file system, each keeps one of Go's processors until Go's monitor takes it away. The monitor looks every 20 µs, which was
// a sixth of such a daemon's work; as it is started with a timer slack of 1 ms it looks that often at most, and so there must be some to spare.
func SpareProcessors(n int) { runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + n) }
