package rpc

import (
	"strings"

	"dittofs/smbd/dtyp"
)

// samrUUID is 12345778-1234-abcd-ef00-0123456789ac, [MS-SAMR] 1.9.
var samrUUID = uuid(0x12345778, 0x1234, 0xabcd, "\xef\x00\x01\x23\x45\x67\x89\xac")

// samr lists the server's users and finds them by name and number, [MS-SAMR], and changes nothing.
func samr(p *Pipe, opnum uint16, in *reader) ([]byte, status) {
	switch opnum {
	case 0, 57, 62: // SamrConnect, 2, 4
		return p.opened(samServer)
	case 64:
		return samrConnect5(p, in)
	case 1:
		return p.closeHandle(in)
	case 5:
		return samrLookupDomain(p, in)
	case 6:
		return samrEnumerateDomains(p, in)
	case 7:
		return samrOpenDomain(p, in)
	case 13:
		return samrEnumerateUsers(p, in)
	case 17:
		return samrLookupNames(p, in)
	case 18:
		return samrLookupIds(p, in)
	}
	return nil, opRangeError
}

// SamrConnect5, [MS-SAMR] 3.1.5.1.1.
func samrConnect5(p *Pipe, in *reader) ([]byte, status) {
	in.unique() // ServerName
	in.uint32() // DesiredAccess
	version := in.uint32()
	if in.uint32() != 1 || version != 1 || in.Err() != nil {
		return nil, badStubData
	}
	h, given := p.give(samServer)
	var w writer
	w.uint32(1) // OutVersion
	w.uint32(1) // the union's arm
	w.uint32(3) // Revision: AES is for changing passwords
	w.uint32(0) // SupportedFeatures
	w.b = append(w.b, h[:]...)
	if !given {
		w.uint32(statusNoResources)
	} else {
		w.uint32(statusSuccess)
	}
	return w.b, ok
}

// SamrLookupDomainInSamServer, [MS-SAMR] 3.1.5.11.1.
func samrLookupDomain(p *Pipe, in *reader) ([]byte, status) {
	h := in.handle()
	name := in.unicodes(1)
	if in.End() != nil {
		return nil, badStubData
	}
	var w writer
	switch {
	case p.handles[h] != samServer:
		w.null()
		w.uint32(statusInvalidHandle)
	case strings.EqualFold(name[0], p.info.ServerName):
		w.sid(unixUsers)
		w.flush()
		w.uint32(statusSuccess)
	case strings.EqualFold(name[0], "Builtin"):
		w.sid(builtin)
		w.flush()
		w.uint32(statusSuccess)
	default:
		w.null()
		w.uint32(statusNoSuchDomain)
	}
	return w.b, ok
}

// enumerated writes SAMPR_ENUMERATION_BUFFER, [MS-SAMR] 2.2.3.10, and what follows it.
func enumerated(next uint32, list []NamedID, result uint32) []byte {
	var w writer
	w.uint32(next)
	w.pointer()
	w.uint32(uint32(len(list)))
	w.array(len(list), func(i int) {
		w.uint32(list[i].ID)
		w.unicode(list[i].Name)
	})
	w.flush()
	w.uint32(uint32(len(list)))
	w.uint32(result)
	return w.b
}

// SamrEnumerateDomainsInSamServer, [MS-SAMR] 3.1.5.2.1.
func samrEnumerateDomains(p *Pipe, in *reader) ([]byte, status) {
	h, from := in.handle(), in.uint32()
	in.uint32() // PreferedMaximumLength
	if in.End() != nil {
		return nil, badStubData
	}
	list := []NamedID{{Name: p.info.ServerName}, {Name: "Builtin"}}
	if p.handles[h] != samServer {
		return enumerated(0, nil, statusInvalidHandle), ok
	}
	return enumerated(2, list[min(from, 2):], statusSuccess), ok
}

// SamrOpenDomain, [MS-SAMR] 3.1.5.1.5.
func samrOpenDomain(p *Pipe, in *reader) ([]byte, status) {
	h := in.handle()
	in.uint32() // DesiredAccess
	s := in.sid()
	if in.End() != nil {
		return nil, badStubData
	}
	o := map[dtyp.SID]object{unixUsers: accountDomain, builtin: builtinDomain}[s]
	result := uint32(statusNoSuchDomain)
	switch {
	case p.handles[h] != samServer:
		result = statusInvalidHandle
	case o != none:
		return p.opened(o)
	}
	var w writer
	w.b = append(w.b, make([]byte, len(h))...)
	w.uint32(result)
	return w.b, ok
}

// SamrEnumerateUsersInDomain, [MS-SAMR] 3.1.5.2.5.
func samrEnumerateUsers(p *Pipe, in *reader) ([]byte, status) {
	h, from := in.handle(), in.uint32()
	in.uint32() // UserAccountControl
	limit := in.uint32()
	if in.End() != nil {
		return nil, badStubData
	}
	var list []NamedID
	switch p.handles[h] {
	case accountDomain:
		if p.info.Names != nil {
			list = p.info.Names.Users()
		}
	case builtinDomain:
	default:
		return enumerated(0, nil, statusInvalidHandle), ok
	}
	list = list[min(uint64(from), uint64(len(list))):]
	n, size := 0, uint64(0)
	for n < len(list) && n < maxLookups && (n == 0 || size < uint64(limit)) {
		size += 12 + 2*uint64(len(list[n].Name))
		n++
	}
	if n < len(list) {
		return enumerated(from+uint32(n), list[:n], statusMoreEntries), ok
	}
	return enumerated(from+uint32(n), list, statusSuccess), ok
}

// numbers writes SAMPR_ULONG_ARRAY, [MS-SAMR] 2.2.7.2.
func (w *writer) numbers(list []uint32) {
	w.uint32(uint32(len(list)))
	w.array(len(list), func(i int) { w.uint32(list[i]) })
	w.flush()
}

// SamrLookupNamesInDomain, [MS-SAMR] 3.1.5.11.2.
func samrLookupNames(p *Pipe, in *reader) ([]byte, status) {
	h, count := in.handle(), in.uint32()
	most, offset, actual := in.uint32(), in.uint32(), in.uint32()
	if count > maxLookups || most < count || offset != 0 || actual != count || in.Err() != nil {
		return nil, badStubData
	}
	names := in.unicodes(count)
	if in.End() != nil {
		return nil, badStubData
	}
	ids, uses, n := make([]uint32, count), make([]uint32, count), 0
	for i, name := range names {
		uses[i] = uint32(useUnknown)
		if uid, found := p.user(h, name); found {
			ids[i], uses[i] = uid, uint32(useUser)
			n++
		}
	}
	var w writer
	w.numbers(ids)
	w.numbers(uses)
	w.uint32(p.lookedUp(h, n, len(names)))
	return w.b, ok
}

func (p *Pipe) user(h handle, name string) (uid uint32, found bool) {
	if p.handles[h] != accountDomain || p.info.Names == nil {
		return 0, false
	}
	return p.info.Names.UserByName(name)
}

func (p *Pipe) lookedUp(h handle, n, all int) uint32 {
	if o := p.handles[h]; o != accountDomain && o != builtinDomain {
		return statusInvalidHandle
	}
	return mapped(n, all)
}

// SamrLookupIdsInDomain, [MS-SAMR] 3.1.5.11.3.
func samrLookupIds(p *Pipe, in *reader) ([]byte, status) {
	h, count := in.handle(), in.uint32()
	most, offset, actual := in.uint32(), in.uint32(), in.uint32()
	if count > maxLookups || most < count || offset != 0 || actual != count || in.Err() != nil {
		return nil, badStubData
	}
	names, uses, n := make([]string, count), make([]uint32, count), 0
	for i := range names {
		uses[i] = uint32(useUnknown)
		uid := in.uint32()
		if p.handles[h] != accountDomain || p.info.Names == nil {
			continue
		}
		if name, found := p.info.Names.User(uid); found {
			names[i], uses[i] = name, uint32(useUser)
			n++
		}
	}
	if in.End() != nil {
		return nil, badStubData
	}
	var w writer
	w.uint32(count)
	w.array(len(names), func(i int) { w.unicode(names[i]) })
	w.flush()
	w.numbers(uses)
	w.uint32(p.lookedUp(h, n, len(names)))
	return w.b, ok
}
