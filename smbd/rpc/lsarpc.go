package rpc

import (
	"slices"

	"dittofs/smbd/dtyp"
)

// lsarpcUUID is 12345778-1234-abcd-ef00-0123456789ab, [MS-LSAT] 1.9.
var lsarpcUUID = uuid(0x12345778, 0x1234, 0xabcd, "\xef\x00\x01\x23\x45\x67\x89\xab")

// lsarpc translates between names and SIDs, [MS-LSAT], and says what the server's domain is, [MS-LSAD].
func lsarpc(p *Pipe, opnum uint16, in *reader) ([]byte, status) {
	switch opnum {
	case 0:
		return p.closeHandle(in)
	case 6, 44: // LsarOpenPolicy, LsarOpenPolicy2: whoever is here may look up
		return p.opened(policy)
	case 7, 46:
		return lsarQueryInformationPolicy(p, in)
	case 14, 58, 68, 77:
		return lsarLookupNames(p, opnum, in)
	case 15, 57, 76:
		return lsarLookupSids(p, opnum, in)
	}
	return nil, opRangeError
}

// LsarQueryInformationPolicy and 2, [MS-LSAD] 3.1.4.4.4: the primary and the account domain. The server is no domain's member.
func lsarQueryInformationPolicy(p *Pipe, in *reader) ([]byte, status) {
	h, class := in.handle(), in.uint16()
	if in.End() != nil {
		return nil, badStubData
	}
	primary := p.info.Domain
	if primary == "" {
		primary = defaultWorkgroup
	}
	var w writer
	switch result := p.handles[h]; {
	case result != policy:
		w.null()
		w.uint32(statusInvalidHandle)
		return w.b, ok
	case class != 3 && class != 5 && class != 12:
		w.null()
		w.uint32(statusInvalidParameter)
		return w.b, ok
	}
	w.pointer()
	w.uint32(uint32(class)) // the union's arm
	switch class {
	case 3: // PolicyPrimaryDomainInformation
		w.unicode(primary)
		w.null()
	case 5: // PolicyAccountDomainInformation
		w.unicode(p.info.ServerName)
		w.sid(unixUsers)
	case 12: // PolicyDnsDomainInformation
		w.unicode(primary)
		w.unicode("")
		w.unicode("")
		w.b = append(w.b, make([]byte, 16)...) // DomainGuid
		w.null()
	}
	w.flush()
	w.uint32(statusSuccess)
	return w.b, ok
}

// domains is LSAPR_REFERENCED_DOMAIN_LIST in the making.
type domains []domain

// index puts a domain in.
func (l *domains) index(d domain) uint32 {
	at := slices.Index(*l, d)
	if at < 0 {
		at = len(*l)
		*l = append(*l, d)
	}
	return uint32(at)
}

func (l domains) append(w *writer) {
	w.pointer()
	w.uint32(uint32(len(l)))
	w.array(len(l), func(i int) {
		w.unicode(l[i].name)
		w.sid(l[i].sid)
	})
	w.uint32(32) // MaxEntries, which says nothing
	w.flush()
}

const noDomain = ^uint32(0)

// mapped is the result of a lookup that found n of all.
func mapped(n, all int) uint32 {
	switch n {
	case all:
		return statusSuccess
	case 0:
		return statusNoneMapped
	}
	return statusSomeNotMapped
}

// LsarLookupSids, 2 and 3, [MS-LSAT] 3.1.4.9 to 3.1.4.11.
func lsarLookupSids(p *Pipe, opnum uint16, in *reader) ([]byte, status) {
	valid := true
	if opnum != 76 {
		valid = p.handles[in.handle()] == policy
	}
	sids, fits := in.sids()
	in.uint32() // TranslatedNames: none yet
	if in.pointer() {
		return nil, badStubData
	}
	if in.End() != nil {
		return nil, badStubData
	}
	var l domains
	names := make([]account, len(sids))
	index := make([]uint32, len(sids))
	n := 0
	if valid && fits {
		for i, s := range sids {
			a, found := p.info.bySID(s)
			if index[i] = noDomain; found {
				n++
				index[i] = l.index(a.domain)
			} else {
				a = account{name: s.String(), use: useUnknown}
			}
			names[i] = a
		}
	} else {
		names = nil
	}
	var w writer
	l.append(&w)
	w.uint32(uint32(len(names)))
	w.array(len(names), func(i int) {
		w.uint32(uint32(names[i].use))
		w.unicode(names[i].name)
		w.uint32(index[i])
		if opnum != 15 {
			w.uint32(0) // Flags
		}
	})
	w.flush()
	w.uint32(uint32(n))
	switch {
	case !valid:
		w.uint32(statusInvalidHandle)
	case !fits:
		w.uint32(statusInvalidParameter)
	default:
		w.uint32(mapped(n, len(sids)))
	}
	return w.b, ok
}

// sids reads LSAPR_SID_ENUM_BUFFER, [MS-LSAT] 2.2.17; fits is false where there are too many.
func (r *reader) sids() (out []dtyp.SID, fits bool) {
	count := r.uint32()
	if !r.pointer() {
		return nil, count == 0
	}
	if r.uint32() != count || count > maxLookups {
		return nil, false
	}
	there := make([]bool, count)
	for i := range there {
		there[i] = r.pointer()
	}
	for _, t := range there {
		var s dtyp.SID
		if t {
			s = r.sid()
		}
		if r.Err() != nil {
			return nil, false
		}
		out = append(out, s)
	}
	return out, true
}

// LsarLookupNames, 2, 3 and 4, [MS-LSAT] 3.1.4.5 to 3.1.4.8.
func lsarLookupNames(p *Pipe, opnum uint16, in *reader) ([]byte, status) {
	valid := true
	if opnum != 77 {
		valid = p.handles[in.handle()] == policy
	}
	count := in.uint32()
	if in.uint32() != count || in.Err() != nil || count > maxLookups {
		return nil, badStubData
	}
	asked := in.unicodes(count)
	if in.End() != nil {
		return nil, badStubData
	}
	var l domains
	found := make([]account, len(asked))
	index := make([]uint32, len(asked))
	n := 0
	for i, name := range asked {
		a, known := p.info.byName(name)
		if index[i] = noDomain; known && valid {
			n++
			index[i] = l.index(a.domain)
		} else {
			a = account{use: useUnknown}
		}
		found[i] = a
	}
	var w writer
	l.append(&w)
	w.uint32(uint32(len(found)))
	w.array(len(found), func(i int) {
		a := found[i]
		w.uint32(uint32(a.use))
		switch {
		case opnum == 14 || opnum == 58:
			w.uint32(relative(a))
		case a.use == useUnknown:
			w.null()
		default:
			w.sid(a.sid)
		}
		w.uint32(index[i])
		if opnum != 14 {
			w.uint32(0) // Flags
		}
	})
	w.flush()
	w.uint32(uint32(n))
	if !valid {
		w.uint32(statusInvalidHandle)
	} else {
		w.uint32(mapped(n, len(asked)))
	}
	return w.b, ok
}

// relative is what a SID has beyond its domain's; a domain itself has nothing.
func relative(a account) uint32 {
	if a.use == useUnknown || a.sid == a.domain.sid {
		return noDomain
	}
	return rid(a.sid)
}
