package rpc

// wkssvcUUID is 6bffd098-a112-3610-9833-46c3f87e345a, [MS-WKST] 1.9.
var wkssvcUUID = uuid(0x6bffd098, 0xa112, 0x3610, "\x98\x33\x46\xc3\xf8\x7e\x34\x5a")

func wkssvc(p *Pipe, opnum uint16, in *reader) ([]byte, status) {
	if opnum == 0 {
		return netrWkstaGetInfo(p, in)
	}
	return nil, opRangeError
}

// NetrWkstaGetInfo, [MS-WKST] 3.2.4.1, levels 100 to 102.
func netrWkstaGetInfo(p *Pipe, in *reader) ([]byte, status) {
	in.unique() // ServerName
	level := in.uint32()
	if in.End() != nil {
		return nil, badStubData
	}
	var w writer
	w.uint32(level)
	if level < 100 || level > 102 {
		w.null()
		w.uint32(errInvalidLevel)
		return w.b, ok
	}
	domain := p.info.Domain
	if domain == "" {
		domain = defaultWorkgroup
	}
	w.pointer()
	w.uint32(platformNT)
	w.text(p.info.ServerName)
	w.text(domain)
	w.uint32(versionMajor)
	w.uint32(versionMinor)
	if level >= 101 {
		w.text("") // wki101_lanroot
	}
	if level == 102 {
		w.uint32(0) // wki102_logged_on_users: at the server itself
	}
	w.flush()
	w.uint32(errSuccess)
	return w.b, ok
}
