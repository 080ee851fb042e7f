package lockdb

import (
	"crypto/rand"
	"os"
	"strings"
)

// HostBoot names this boot of the host, as random(4) has it. Where the kernel does not say, it is like no other.
func HostBoot() string {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return rand.Text()
	}
	return strings.TrimSpace(string(b))
}
