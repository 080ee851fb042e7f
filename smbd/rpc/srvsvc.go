package rpc

import (
	"slices"
	"strings"

	"dittofs/smbd/wire"
)

// srvsvcUUID is 4b324fc8-1670-01d3-1278-5a47bf6ee188, [MS-SRVS] 1.9.
var srvsvcUUID = uuid(0x4b324fc8, 0x1670, 0x01d3, "\x12\x78\x5a\x47\xbf\x6e\xe1\x88")

// Share types, [MS-SRVS] 2.2.2.4.
const (
	stypeDisk    = 0
	stypeIPC     = 3
	stypeSpecial = 0x80000000
)

// Server facts, [MS-SRVS] 2.2.2.6 and 2.2.2.7, [MS-WKST] 2.2.5.1.
const (
	platformNT       = 500
	versionMajor     = 6
	versionMinor     = 1
	typeWorkstation  = 0x00000001
	typeServer       = 0x00000002
	typeNT           = 0x00001000
	typeServerNT     = 0x00008000
	unlimitedUses    = 0xffffffff
	defaultWorkgroup = "WORKGROUP"
)

func srvsvc(p *Pipe, opnum uint16, in *reader) ([]byte, status) {
	switch opnum {
	case 15:
		return netrShareEnum(p, in)
	case 16:
		return netrShareGetInfo(p, in)
	case 21:
		return netrServerGetInfo(p, in)
	}
	return nil, opRangeError
}

// share is a SHARE_INFO before its level is chosen.
type share struct {
	name, comment string
	kind          uint32
}

// shares is what NetrShareEnum lists, IPC$ last.
func (p *Pipe) shares() []share {
	var out []share
	if p.info.Shares != nil {
		for _, s := range p.info.Shares() {
			if !strings.EqualFold(s.Name, "IPC$") {
				out = append(out, share{s.Name, s.Comment, stypeDisk})
			}
		}
	}
	return append(out, share{"IPC$", "IPC Service", stypeIPC | stypeSpecial})
}

// append writes the structure of one level, [MS-SRVS] 2.2.4.22 to 2.2.4.29, without what its pointers point to.
func (s share) append(w *writer, level uint32) {
	switch level {
	case 0:
		w.text(s.name)
	case 1:
		w.text(s.name)
		w.uint32(s.kind)
		w.text(s.comment)
	case 2:
		w.text(s.name)
		w.uint32(s.kind)
		w.text(s.comment)
		w.uint32(0) // shi2_permissions, not used
		w.uint32(unlimitedUses)
		w.uint32(0) // shi2_current_uses: not counted here
		w.text("")  // shi2_path: the server's paths are the administrator's
		w.null()    // shi2_passwd
	case 501:
		w.text(s.name)
		w.uint32(s.kind)
		w.text(s.comment)
		w.uint32(0) // shi501_flags: manual caching, no DFS
	case 502:
		s.append(w, 2)
		w.uint32(0) // shi502_reserved: the length of the descriptor
		w.null()    // shi502_security_descriptor: the share itself refuses nobody
	case 1005:
		w.uint32(0) // SHI1005_flags: manual caching, no DFS
	}
}

// enumerable tells which levels NetrShareEnum answers, tellable which NetrShareGetInfo does.
func enumerable(level uint32) bool { return slices.Contains([]uint32{0, 1, 2, 501, 502}, level) }
func tellable(level uint32) bool   { return enumerable(level) || level == 1005 }

// armed tells which levels of SHARE_INFO and SHARE_ENUM_STRUCT have a pointer in the union; the others are empty.
func armed(level uint32) bool {
	return slices.Contains([]uint32{0, 1, 2, 501, 502, 503, 1004, 1005, 1006, 1501}, level)
}

// NetrShareEnum, [MS-SRVS] 3.1.4.8, levels 0, 1, 2, 501 and 502.
func netrShareEnum(p *Pipe, in *reader) ([]byte, status) {
	in.unique() // ServerName
	level := in.uint32()
	if in.uint32() != level {
		return nil, badStubData
	}
	if armed(level) && in.pointer() {
		in.uint32() // EntriesRead
		if in.pointer() {
			return nil, badStubData // the buffer only ever comes back
		}
	}
	limit := in.uint32() // PreferedMaximumLength
	resumes := in.pointer()
	var from uint32
	if resumes {
		from = in.uint32()
	}
	if in.End() != nil {
		return nil, badStubData
	}

	var w writer
	w.uint32(level)
	w.uint32(level)
	result, total, next := uint32(errSuccess), uint32(0), uint32(0)
	switch {
	case enumerable(level):
		all := p.shares()
		all = all[min(uint64(from), uint64(len(all))):]
		total = uint32(len(all))
		some := atMost(all, level, limit)
		if len(some) < len(all) {
			result, next = errMoreData, from+uint32(len(some))
		}
		w.pointer()
		w.uint32(uint32(len(some)))
		if len(some) == 0 {
			w.null()
			break
		}
		w.pointer()
		w.uint32(uint32(len(some)))
		for _, s := range some {
			s.append(&w, level)
		}
		w.flush()
	case armed(level):
		result = errInvalidLevel
		w.null()
	default:
		result = errInvalidLevel
	}
	w.uint32(total)
	if resumes {
		w.pointer()
		w.uint32(next)
	} else {
		w.null()
	}
	w.uint32(result)
	return w.b, ok
}

// atMost takes shares until their size passes limit, but at least one: a caller that asks again must get on.
func atMost(all []share, level, limit uint32) []share {
	size := uint64(0)
	for i, s := range all {
		size += 4 + uint64(wire.UTF16Len(s.name)) + 2
		if level > 0 {
			size += 8 + uint64(wire.UTF16Len(s.comment)) + 2
		}
		if size > uint64(limit) && i > 0 {
			return all[:i]
		}
	}
	return all
}

// NetrShareGetInfo, [MS-SRVS] 3.1.4.10, levels 0, 1, 2, 501, 502 and 1005.
func netrShareGetInfo(p *Pipe, in *reader) ([]byte, status) {
	in.unique() // ServerName
	name := in.text()
	level := in.uint32()
	if in.End() != nil {
		return nil, badStubData
	}
	all := p.shares()
	at := slices.IndexFunc(all, func(s share) bool { return strings.EqualFold(s.name, name) })
	var w writer
	w.uint32(level)
	result := uint32(errSuccess)
	switch {
	case tellable(level):
		if at < 0 {
			result = errNoShare
			w.null()
			break
		}
		w.pointer()
		all[at].append(&w, level)
		w.flush()
	case armed(level):
		result = errInvalidLevel
		w.null()
	default:
		result = errInvalidLevel
	}
	w.uint32(result)
	return w.b, ok
}

// NetrServerGetInfo, [MS-SRVS] 3.1.4.17, levels 100 and 101.
func netrServerGetInfo(p *Pipe, in *reader) ([]byte, status) {
	in.unique() // ServerName
	level := in.uint32()
	if in.End() != nil {
		return nil, badStubData
	}
	var w writer
	w.uint32(level)
	switch level {
	case 100, 101:
		w.pointer()
		w.uint32(platformNT)
		w.text(p.info.ServerName)
		if level == 101 {
			w.uint32(versionMajor)
			w.uint32(versionMinor)
			w.uint32(typeWorkstation | typeServer | typeNT | typeServerNT)
			w.text(p.info.Comment)
		}
		w.flush()
		w.uint32(errSuccess)
	default:
		w.null()
		w.uint32(errInvalidLevel)
	}
	return w.b, ok
}
