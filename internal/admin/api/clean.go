package api

import (
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// clean says that no text of a message holds a control character: databases refuse some of them, and terminals obey them.
func clean(m protoreflect.Message) bool {
	ok := true
	m.Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case fd.IsMap():
			v.Map().Range(func(k protoreflect.MapKey, v protoreflect.Value) bool {
				ok = ok && cleanValue(fd.MapKey(), k.Value()) && cleanValue(fd.MapValue(), v)
				return ok
			})
		case fd.IsList():
			for i := 0; ok && i < v.List().Len(); i++ {
				ok = cleanValue(fd, v.List().Get(i))
			}
		default:
			ok = cleanValue(fd, v)
		}
		return ok
	})
	return ok
}

func cleanValue(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
	switch fd.Kind() {
	case protoreflect.StringKind:
		return !strings.ContainsFunc(v.String(), func(r rune) bool { return r < ' ' || r == 0x7f })
	case protoreflect.MessageKind:
		return clean(v.Message())
	}
	return true
}
