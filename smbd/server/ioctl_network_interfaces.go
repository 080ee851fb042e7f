package server

import (
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"

	"dittofs/smbd/ntstatus"
	"dittofs/smbd/smb2"
)

// FSCTL_QUERY_NETWORK_INTERFACE_INFO, [MS-SMB2] 3.3.5.15.11: over which addresses a client may bind its session to more connections.

func queryNetworkInterfaces(r *request, q *smb2.IOCTLRequest, a *smb2.IOCTLResponse) (reply, error) {
	c := r.chain.c
	if c.ours&smb2.CapMultiChannel == 0 {
		return nil, ntstatus.NotSupported
	}
	list, err := interfaces(c.local(), c.s.cfg.Settings.Listen)
	if err != nil {
		return nil, err
	}
	if len(list) == 0 {
		return nil, ntstatus.NoSuchDevice
	}
	if a.Output = smb2.AppendNetworkInterfaces(nil, list); uint64(len(a.Output)) > uint64(q.MaxOutputResponse) {
		return nil, ntstatus.BufferTooSmall
	}
	return a, nil
}

// local is our address of the connection.
func (c *conn) local() netip.Addr {
	if a, err := netip.ParseAddrPort(c.nc.LocalAddr().String()); err == nil {
		return a.Addr().Unmap()
	}
	return netip.Addr{}
}

// interfaces are the addresses that are listened on. The loopback serves only who came over it, and addresses that need a zone nobody.
func interfaces(local netip.Addr, listen string) ([]smb2.NetworkInterface, error) {
	only, _ := netip.ParseAddr(listen)
	all, err := net.Interfaces()
	if err != nil {
		return nil, err
	}
	var list []smb2.NetworkInterface
	for _, i := range all {
		if i.Flags&net.FlagUp == 0 || i.Flags&(net.FlagRunning|net.FlagLoopback) == 0 {
			continue
		}
		addresses, err := i.Addrs()
		if err != nil {
			continue // it went away meanwhile
		}
		for _, a := range addresses {
			p, err := netip.ParsePrefix(a.String())
			if err != nil {
				continue
			}
			address := p.Addr().Unmap()
			if address.IsLinkLocalUnicast() || address.IsLoopback() != local.IsLoopback() || only.IsValid() && !only.IsUnspecified() && address != only.Unmap() {
				continue
			}
			list = append(list, smb2.NetworkInterface{Index: uint32(i.Index), Capability: capability(i.Name), LinkSpeed: linkSpeed(i.Name), Address: address})
		}
	}
	return list, nil
}

// device reads what the kernel says of a network device.
func device(name, attribute string) string {
	b, err := os.ReadFile("/sys/class/net/" + name + "/" + attribute)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}

// linkSpeed is what the device says, in bits per second; one that says nothing, as virtual ones do, counts as 1 Gbit/s.
func linkSpeed(name string) uint64 {
	if n, err := strconv.ParseUint(device(name, "speed"), 10, 32); err == nil && n > 0 && n < 1<<32-1 {
		return n * 1_000_000
	}
	return 1_000_000_000
}

// rss is receive side scaling: several connections to the address are served faster than one.
const rss = 1

// capability: a device with several receive queues scales.
func capability(name string) uint32 {
	queues, _ := os.ReadDir("/sys/class/net/" + name + "/queues")
	n := 0
	for _, q := range queues {
		if strings.HasPrefix(q.Name(), "rx-") {
			n++
		}
	}
	if n > 1 {
		return rss
	}
	return 0
}
