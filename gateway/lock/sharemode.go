package lock

// Share modes, [MS-FSA] 2.1.5.1.2.2. NLM SHARE asks the same question with other words. An open that touches no data (attributes only)
// takes no part.

// needs is the share bits that others must grant for access.
func (a Access) needs() Share {
	var s Share
	if a&(Read|Execute) != 0 {
		s |= ShareRead
	}
	if a&(Write|Append) != 0 {
		s |= ShareWrite
	}
	if a&Delete != 0 {
		s |= ShareDelete
	}
	return s
}

// shares is what r's open lets others do. A local program that is being executed denies writing, as the kernel does with ETXTBSY.
func (r *OpenRequest) shares() Share {
	if r.Owner.Client.Door == Local && r.Access&Execute != 0 {
		return r.Share &^ ShareWrite
	}
	return r.Share
}

// excludes reports whether a and b cannot be open together. Two local opens always can: the kernel has judged them.
func (r *OpenRequest) excludes(b *OpenRequest) bool {
	if r.Access&touches == 0 || b.Access&touches == 0 || r.Owner.Client.Door == Local && b.Owner.Client.Door == Local {
		return false
	}
	return r.Access.needs()&^b.shares() != 0 || b.Access.needs()&^r.shares() != 0
}

// writes reports whether r's open may write. A local open for writing counts as writing until its close, because the kernel passes
// its writes to the file and nobody hears of them.
func (r *OpenRequest) writes() bool { return r.Access&(Write|Append) != 0 }

// localWriter reports whether r writes unheard.
func (r *OpenRequest) localWriter() bool { return r.Owner.Client.Door == Local && r.writes() }

// Share is the open that NLM's SHARE gave owner on the file, and as it was asked for.
func (t *Table) Share(owner Owner) (id ID, r OpenRequest, ok bool) {
	for _, o := range t.opens {
		if o.r.Owner == owner && owner.Client.Door == NLM {
			return o.id, o.r, true
		}
	}
	return ID{}, OpenRequest{}, false
}

// Sharers are the NLM clients that have the file shared.
func (t *Table) Sharers() (list []Client) {
	for _, o := range t.opens {
		if o.r.Owner.Client.Door == NLM {
			list = append(list, o.r.Owner.Client)
		}
	}
	return list
}
