package dtyp

// Inherit is the list that a new object has from its parent's, [MS-DTYP] 2.5.3.4.1; nil where nothing is to be inherited. CREATOR OWNER and
// CREATOR GROUP become the new owner and group, and generic rights what mapped says they mean. auto marks what is inherited as such.
func (l *ACL) Inherit(container, auto bool, owner, group SID, mapped func(uint32) uint32) *ACL {
	if l == nil {
		return nil
	}
	out := ACL{Revision: l.Revision}
	for _, e := range l.ACEs {
		from := e.Flags
		e.Flags &^= ObjectInherit | ContainerInherit | NoPropagateInherit | InheritOnly | Inherited
		if auto {
			e.Flags |= Inherited
		}
		here := e.effective(owner, group, mapped)
		onward := from & (ObjectInherit | ContainerInherit)
		if from&NoPropagateInherit != 0 {
			onward = 0
		}
		switch {
		case !container && from&ObjectInherit != 0, container && from&ContainerInherit != 0 && onward == 0:
			out.ACEs = append(out.ACEs, here)
		case container && from&ContainerInherit != 0 && e.same(&here):
			here.Flags |= onward
			out.ACEs = append(out.ACEs, here)
		case container && from&ContainerInherit != 0: // once for the container, once as it was for what comes into it
			e.Flags |= onward | InheritOnly
			out.ACEs = append(out.ACEs, here, e)
		case container && onward&ObjectInherit != 0: // nothing for the container
			e.Flags |= onward | InheritOnly
			out.ACEs = append(out.ACEs, e)
		}
	}
	if len(out.ACEs) == 0 {
		return nil
	}
	return &out
}

// effective is what an entry means for an object of an owner and a group.
func (a ACE) effective(owner, group SID, mapped func(uint32) uint32) ACE {
	if !a.Type.simple() {
		return a
	}
	a.Mask = mapped(a.Mask)
	switch a.SID {
	case CreatorOwner:
		a.SID = owner
	case CreatorGroup:
		a.SID = group
	}
	return a
}

func (a *ACE) same(b *ACE) bool { return a.Mask == b.Mask && a.SID == b.SID }
