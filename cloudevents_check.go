// SPDX-License-Identifier: Apache-2.0

package autobus

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Check holds the event against what is demanded of every event, whatever its type and whichever protocol brought it:
// the form of its attributes and the limits. Absent id, source and time are allowed. It does not judge the type's name
// nor the data.
func (e *Event) Check() *Error {
	if e.Type == "" {
		return NewError(ReasonEventInvalid, "type is missing")
	}
	if len(e.ID) > MaxIDBytes {
		return NewError(ReasonHeaderTooLarge, "id has %d bytes, at most %d are allowed", len(e.ID), MaxIDBytes).
			WithHint("Use a short id, such as a UUID.")
	}
	for _, r := range e.ID {
		if !unicode.IsPrint(r) {
			return NewError(ReasonEventInvalid, "id holds the unprintable character %U", r)
		}
	}
	for _, a := range [...]Extension{{"id", e.ID}, {"source", e.Source}, {"type", e.Type}, {"subject", e.Subject},
		{"datacontenttype", e.ContentType}, {"dataschema", e.DataSchema}} {
		if err := checkValue(a.Name, a.Value); err != nil {
			return err
		}
	}
	if e.ContentType != "" && !strings.Contains(e.ContentType, "/") {
		return NewError(ReasonEventInvalid, "datacontenttype %q is not a media type", clip(e.ContentType))
	}
	if y := e.Time.Year(); y < 0 || y > 9999 {
		return NewError(ReasonEventInvalid, "the year %d of time cannot be written as RFC 3339", y)
	}
	if err := e.checkExtensions(); err != nil {
		return err
	}
	if len(e.Key) > MaxKeyBytes {
		return keyTooLarge(len(e.Key))
	}
	if n := e.Size(); n > MaxEventBytes {
		return NewError(ReasonEventTooLarge, "the event has %d bytes, at most %d are allowed", n, MaxEventBytes)
	}
	return nil
}

func (e *Event) checkExtensions() *Error {
	if n := len(e.Extensions); n > MaxExtensions {
		return NewError(ReasonHeaderTooLarge, "%d extensions, at most %d are allowed", n, MaxExtensions)
	}
	for i, x := range e.Extensions {
		if err := checkName(x.Name); err != nil {
			return err
		}
		for _, earlier := range e.Extensions[:i] {
			if earlier.Name == x.Name {
				return twice(x.Name)
			}
		}
		if x.Name == ExtPartitionKey && len(x.Value) > MaxKeyBytes {
			return keyTooLarge(len(x.Value))
		}
		if err := checkValue(x.Name, x.Value); err != nil {
			return err
		}
	}
	return nil
}

func keyTooLarge(n int) *Error {
	return NewError(ReasonKeyTooLarge, "the partition key has %d bytes, at most %d are allowed", n, MaxKeyBytes)
}

func checkName(name string) *Error {
	if strings.HasPrefix(strings.ToLower(name), "autobus") {
		return NewError(ReasonHeaderReserved, "the attribute %s begins with autobus", clip(name))
	}
	switch name {
	case "specversion", "id", "source", "type", "subject", "time", "datacontenttype", "dataschema", "data":
		return badName(name)
	}
	if !ValidExtension(name) {
		return badName(name)
	}
	return nil
}

func badName(name string) *Error {
	return NewError(ReasonEventInvalid, "%q cannot be the name of an extension", clip(name)).
		WithHint("Use 1 to %d lower-case letters and digits that are no attribute of CloudEvents itself.", MaxExtensionName)
}

func checkValue(name, value string) *Error {
	if len(value) > MaxAttributeBytes {
		return NewError(ReasonHeaderTooLarge, "%s has %d bytes, at most %d are allowed", name, len(value),
			MaxAttributeBytes)
	}
	if !ValidText(value) {
		return NewError(ReasonEventInvalid, "%s holds a control character or is not UTF-8", name)
	}
	return nil
}

// ValidText reports whether s can be the value of an attribute: UTF-8 without control characters.
func ValidText(s string) bool {
	for i := 0; i < len(s); {
		c := s[i]
		if c < ' ' || c == 0x7f {
			return false
		}
		if c < utf8.RuneSelf {
			i++
			continue
		}
		r, n := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError && n == 1 || r < 0xa0 {
			return false
		}
		i += n
	}
	return true
}

// clip keeps a stranger's string short enough for an error.
func clip(s string) string {
	const most = 64
	if len(s) <= most {
		return strings.ToValidUTF8(s, "\uFFFD")
	}
	return strings.ToValidUTF8(s[:most], "\uFFFD") + "…"
}
