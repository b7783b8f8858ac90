// SPDX-License-Identifier: Apache-2.0

package autobus_test

import (
	"bytes"
	"encoding/json"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/autobus-io/autobus"
)

func TestParseEventKeepsDataByteForByte(t *testing.T) {
	for _, data := range []string{
		`{"b": 1.50,"a" :[1e3,{"x":"}\"]"}]}`, `"text"`, `-0.0`, `null`, `[]`, "{\r\n \"a\":\t1\n}", `true`, `"\u0041"`,
	} {
		raw := []byte("\n{ \"data\" : " + data + " , \"specversion\":\"1.0\",\"type\":\"a.b.v1\"} ")
		e, err := autobus.ParseEvent(raw)
		if err != nil {
			t.Errorf("%s: %v", data, err)
			continue
		}
		if string(e.Data) != data {
			t.Errorf("data %q came out as %q", data, e.Data)
		}
		if at := bytes.Index(raw, e.Data); &raw[at] != &e.Data[0] {
			t.Errorf("%s: the data was copied", data)
		}
	}
}

func TestParseEventReadsEveryAttribute(t *testing.T) {
	e, err := autobus.ParseEvent([]byte(`{"\u0069d":"7","source":"/s","type":"a.b.v1","subject":"\ud83d\ude00\n\u00e9"` +
		`,"time":"2026-01-31T15:04:05.120+03:00","datacontenttype":"text/plain","dataschema":"https://x/y","data":"a\"b"` +
		`,"specversion":"1.0","yes":true,"no":false,"n":-0,"m":2147483647,"gone":null,"partitionkey":"k"}`))
	if err != nil {
		t.Fatal(err)
	}
	if e.ID != "7" || e.Source != "/s" || e.Type != "a.b.v1" || e.Subject != "😀\né" || e.ContentType != "text/plain" ||
		e.DataSchema != "https://x/y" || string(e.Data) != `a"b` {
		t.Errorf("attributes: %+v", e)
	}
	if got := e.Time.Format(time.RFC3339Nano); got != "2026-01-31T15:04:05.12+03:00" {
		t.Errorf("time %s", got)
	}
	want := []autobus.Extension{{Name: "yes", Value: "true"}, {Name: "no", Value: "false"}, {Name: "n", Value: "0"},
		{Name: "m", Value: "2147483647"}, {Name: "partitionkey", Value: "k"}}
	if !slices.Equal(e.Extensions, want) {
		t.Errorf("extensions %v, want %v", e.Extensions, want)
	}
}

func TestParseEventRefuses(t *testing.T) {
	with := func(members string) string { return `{"specversion":"1.0","type":"a.b.v1","id":"i"` + members + `}` }
	for _, c := range []struct {
		name, raw string
		want      autobus.Reason
	}{
		{"empty", ``, autobus.ReasonBodyUnreadable},
		{"words", `not json`, autobus.ReasonBodyUnreadable},
		{"open object", `{"specversion":"1.0"`, autobus.ReasonBodyUnreadable},
		{"open string", with(`,"subject":"x`), autobus.ReasonBodyUnreadable},
		{"no colon", `{"a" 1}`, autobus.ReasonBodyUnreadable},
		{"no value", with(`,"a":`), autobus.ReasonBodyUnreadable},
		{"no comma", with(` "a":1`), autobus.ReasonBodyUnreadable},
		{"trailing", with(``) + `x`, autobus.ReasonBodyUnreadable},
		{"two events", with(``) + with(``), autobus.ReasonBodyUnreadable},
		{"name is a number", `{1:2}`, autobus.ReasonBodyUnreadable},
		{"array", `[]`, autobus.ReasonEventInvalid},
		{"null", `null`, autobus.ReasonEventInvalid},
		{"nothing inside", `{}`, autobus.ReasonEventInvalid},
		{"old version", `{"specversion":"0.3","type":"a.b.v1"}`, autobus.ReasonEventInvalid},
		{"version is a number", `{"specversion":1.0,"type":"a.b.v1"}`, autobus.ReasonEventInvalid},
		{"no type", `{"specversion":"1.0"}`, autobus.ReasonEventInvalid},
		{"empty type", `{"specversion":"1.0","type":""}`, autobus.ReasonEventInvalid},
		{"id twice", with(`,"id":"i"`), autobus.ReasonEventInvalid},
		{"id twice by escape", with(`,"\u0069\u0064":"j"`), autobus.ReasonEventInvalid},
		{"version twice", with(`,"specversion":"1.0"`), autobus.ReasonEventInvalid},
		{"data twice", with(`,"data":1,"data":1`), autobus.ReasonEventInvalid},
		{"extension twice", with(`,"a":"1","a":"1"`), autobus.ReasonEventInvalid},
		{"time twice", with(`,"time":"2026-01-01T00:00:00Z","time":"2026-01-01T00:00:00Z"`), autobus.ReasonEventInvalid},
		{"empty subject", with(`,"subject":""`), autobus.ReasonEventInvalid},
		{"float", with(`,"a":1.5`), autobus.ReasonEventInvalid},
		{"exponent", with(`,"a":1e2`), autobus.ReasonEventInvalid},
		{"wide integer", with(`,"a":2147483648`), autobus.ReasonEventInvalid},
		{"leading zero", with(`,"a":01`), autobus.ReasonEventInvalid},
		{"plus", with(`,"a":+1`), autobus.ReasonEventInvalid},
		{"word", with(`,"a":yes`), autobus.ReasonEventInvalid},
		{"object", with(`,"a":{}`), autobus.ReasonEventInvalid},
		{"time without offset", with(`,"time":"2026-01-01T00:00:00"`), autobus.ReasonEventInvalid},
		{"time of one digit", with(`,"time":"2026-01-01T0:00:00Z"`), autobus.ReasonEventInvalid},
		{"time with a comma", with(`,"time":"2026-01-01T00:00:00,5Z"`), autobus.ReasonEventInvalid},
		{"offset of a day", with(`,"time":"2026-01-01T00:00:00+24:00"`), autobus.ReasonEventInvalid},
		{"time at zero", with(`,"time":"0001-01-01T00:00:00Z"`), autobus.ReasonEventInvalid},
		{"lone surrogate", with(`,"subject":"\ud800"`), autobus.ReasonEventInvalid},
		{"bad escape", with(`,"subject":"\x"`), autobus.ReasonEventInvalid},
		{"bad hex", with(`,"subject":"\u00g0"`), autobus.ReasonEventInvalid},
		{"bad UTF-8", with(",\"subject\":\"\xff\""), autobus.ReasonEventInvalid},
		{"raw newline", with(",\"subject\":\"a\nb\""), autobus.ReasonEventInvalid},
		{"both datas", with(`,"data":1,"data_base64":"AA=="`), autobus.ReasonEventInvalid},
		{"bad base64", with(`,"data_base64":"AA"`), autobus.ReasonEventInvalid},
		{"base64 with a newline", with(`,"data_base64":"AA\n=="`), autobus.ReasonEventInvalid},
		{"base64 number", with(`,"data_base64":1`), autobus.ReasonEventInvalid},
		{"text as object", with(`,"datacontenttype":"text/plain","data":{}`), autobus.ReasonEventInvalid},
	} {
		e, err := autobus.ParseEvent([]byte(c.raw))
		if err == nil || err.Reason != c.want {
			t.Errorf("%s: got %v, want %s", c.name, err, c.want)
		}
		if err != nil && err.Reason == autobus.ReasonEventInvalid && strings.HasPrefix(c.raw, with("")[:30]) && e.ID != "i" {
			t.Errorf("%s: the refused event lost its id", c.name)
		}
	}
}

func TestCheck(t *testing.T) {
	long := strings.Repeat("x", autobus.MaxAttributeBytes+1)
	many := func(e *autobus.Event) {
		for i := range autobus.MaxExtensions + 1 {
			e.SetExt("x"+strings.Repeat("y", i/26)+string(rune('a'+i%26)), "")
		}
	}
	ext := func(name, value string) func(*autobus.Event) {
		return func(e *autobus.Event) {
			e.Extensions = append(e.Extensions, autobus.Extension{Name: name, Value: value})
		}
	}
	for _, c := range []struct {
		name   string
		change func(*autobus.Event)
		want   autobus.Reason
	}{
		{"fine", func(*autobus.Event) {}, ""},
		{"attributes absent", func(e *autobus.Event) { e.ID, e.Source, e.Time = "", "", time.Time{} }, ""},
		{"id at the limit", func(e *autobus.Event) { e.ID = long[:autobus.MaxIDBytes] }, ""},
		{"subject at the limit", func(e *autobus.Event) { e.Subject = long[1:] }, ""},
		{"foreign letters", ext("subj2", "событие 😀"), ""},
		{"no type", func(e *autobus.Event) { e.Type = "" }, autobus.ReasonEventInvalid},
		{"long id", func(e *autobus.Event) { e.ID = long[:autobus.MaxIDBytes+1] }, autobus.ReasonHeaderTooLarge},
		{"unprintable id", func(e *autobus.Event) { e.ID = "a\u200bb" }, autobus.ReasonEventInvalid},
		{"long source", func(e *autobus.Event) { e.Source = long }, autobus.ReasonHeaderTooLarge},
		{"CR in source", func(e *autobus.Event) { e.Source = "a\rb" }, autobus.ReasonEventInvalid},
		{"C1 in subject", func(e *autobus.Event) { e.Subject = "a\u0085b" }, autobus.ReasonEventInvalid},
		{"UTF-8", func(e *autobus.Event) { e.Subject = "\xc3" }, autobus.ReasonEventInvalid},
		{"no media type", func(e *autobus.Event) { e.ContentType = "json" }, autobus.ReasonEventInvalid},
		{"year", func(e *autobus.Event) { e.Time = e.Time.AddDate(8030, 0, 0) }, autobus.ReasonEventInvalid},
		{"many extensions", many, autobus.ReasonHeaderTooLarge},
		{"long extension", ext("a", long), autobus.ReasonHeaderTooLarge},
		{"LF in extension", ext("a", "\n"), autobus.ReasonEventInvalid},
		{"upper case", ext("Abc", ""), autobus.ReasonEventInvalid},
		{"underscore", ext("a_b", ""), autobus.ReasonEventInvalid},
		{"long name", ext(strings.Repeat("a", 21), ""), autobus.ReasonEventInvalid},
		{"no name", ext("", ""), autobus.ReasonEventInvalid},
		{"core name", ext("source", "x"), autobus.ReasonEventInvalid},
		{"data", ext("data", "x"), autobus.ReasonEventInvalid},
		{"reserved", ext("autobusepoch", "1"), autobus.ReasonHeaderReserved},
		{"reserved header", ext("autobus-epoch", "1"), autobus.ReasonHeaderReserved},
		{"scheduled", ext("deliverat", "2026-01-01T00:00:00Z"), ""}, // whether it can be kept is the bus's to say
		{"extension twice", func(e *autobus.Event) { ext("a", "1")(e); ext("a", "2")(e) }, autobus.ReasonEventInvalid},
		{"long key", ext("partitionkey", long[:autobus.MaxKeyBytes+1]), autobus.ReasonKeyTooLarge},
		{"long key from data", func(e *autobus.Event) { e.Key = []byte(long[:1025]) }, autobus.ReasonKeyTooLarge},
		{"too large", func(e *autobus.Event) { e.Data = make([]byte, autobus.MaxEventBytes) }, autobus.ReasonEventTooLarge},
	} {
		e := autobus.Event{ID: "1", Source: "/s", Type: "a.b.v1", Time: time.Unix(1, 0), Data: []byte(`{}`)}
		c.change(&e)
		err := e.Check()
		if got := reasonOf(err); got != c.want {
			t.Errorf("%s: got %v, want %q", c.name, err, c.want)
		}
	}
}

func TestSplitBatchStopsCounting(t *testing.T) {
	full := "[" + strings.Repeat("1,", autobus.MaxBatchEvents-1) + "1]"
	if items, err := autobus.SplitBatch([]byte(full)); err != nil || len(items) != autobus.MaxBatchEvents {
		t.Errorf("%d items, error %v", len(items), err)
	}
	if _, err := autobus.SplitBatch([]byte("[1," + full[1:])); reasonOf(err) != autobus.ReasonBatchTooLarge {
		t.Errorf("one more: %v", err)
	}
}

func TestSplitBatch(t *testing.T) {
	items, err := autobus.SplitBatch([]byte(" [ {\"a\":[1,\"]\"]} ,1, \"x,\\\"\",[[]] ] \n"))
	if err != nil {
		t.Fatal(err)
	}
	if got := string(bytes.Join(items, []byte("|"))); got != `{"a":[1,"]"]}|1|"x,\""|[[]]` {
		t.Errorf("elements %s", got)
	}
	for _, raw := range []string{``, `{}`, `[`, `[1`, `[1,]`, `[,]`, `[1 2]`, `[]]`, `["]`} {
		if _, err := autobus.SplitBatch([]byte(raw)); reasonOf(err) != autobus.ReasonBodyUnreadable {
			t.Errorf("%s: %v", raw, err)
		}
	}
	if items, err := autobus.SplitBatch([]byte(`[]`)); err != nil || len(items) != 0 {
		t.Errorf("an empty batch: %v %v", items, err)
	}
}

func TestAppendEventStaysOnOneLine(t *testing.T) {
	e := autobus.Event{Type: "a\nb", Data: []byte("{\r\n\"a\\n\":\t1}\n")}
	got := string(autobus.AppendEvent(nil, &e))
	if want := "{\"specversion\":\"1.0\",\"type\":\"a\\u000ab\",\"data\":{  \"a\\n\":\t1} }"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	for _, data := range []string{"", "{", "\"\xff\"", "<a/>"} {
		e := autobus.Event{Type: "a", Data: []byte(data)}
		back, err := autobus.ParseEvent(autobus.AppendEvent(nil, &e))
		if err != nil || string(back.Data) != data || back.Data == nil {
			t.Errorf("data %q came back as %q: %v", data, back.Data, err)
		}
	}
}

func TestEventsRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringOfN(rapid.Rune(), 1, -1, 40)
		maybe := func(name string) string {
			if rapid.Bool().Draw(t, "has "+name) {
				return text.Draw(t, name)
			}
			return ""
		}
		e := autobus.Event{
			ID: maybe("id"), Source: maybe("source"), Type: text.Draw(t, "type"), Subject: maybe("subject"),
			DataSchema:  maybe("dataschema"),
			ContentType: rapid.SampledFrom([]string{"", "application/json", "text/plain", "a/b+json"}).Draw(t, "content"),
		}
		if rapid.Bool().Draw(t, "has time") {
			zone := time.FixedZone("", 60*rapid.IntRange(-12*60, 14*60).Draw(t, "zone"))
			e.Time = time.Unix(rapid.Int64Range(0, 4e9).Draw(t, "s"), rapid.Int64Range(0, 1e9-1).Draw(t, "ns")).In(zone)
		}
		for _, name := range rapid.SliceOfNDistinct(rapid.StringMatching(`ext[a-z0-9]{0,17}`), 0, 5, rapid.ID).Draw(t, "x") {
			e.SetExt(name, rapid.String().Draw(t, name))
		}
		switch rapid.IntRange(0, 2).Draw(t, "kind") {
		case 1:
			e.Data = append([]byte{}, rapid.SliceOf(rapid.Byte()).Draw(t, "bytes")...)
		case 2:
			e.Data, _ = json.Marshal(rapid.MapOf(rapid.String(), rapid.Float64Range(-1e9, 1e9)).Draw(t, "object"))
		}
		line := autobus.AppendEvent(nil, &e)
		if !json.Valid(line) || bytes.ContainsAny(line, "\r\n") {
			t.Fatalf("not one line of JSON: %q", line)
		}
		back, err := autobus.ParseEvent(line)
		if err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		same(t, &e, &back)
	})
}

func TestEncodeHeader(t *testing.T) {
	for value, want := range map[string]string{"": "", "a-b/c?": "a-b/c?", "a b": "a%20b", `"50%"`: "%2250%25%22",
		"Größe": "Gr%C3%B6%C3%9Fe", "a\r\nb\x7f": "a%0D%0Ab%7F"} {
		got := autobus.EncodeHeader(value)
		if back, err := url.PathUnescape(got); got != want || err != nil || back != value {
			t.Errorf("%q is written as %q, want %q; read back as %q, %v", value, got, want, back, err)
		}
	}
}

func FuzzParseEvent(f *testing.F) {
	for _, s := range []string{
		`{"specversion":"1.0","type":"a.b.v1","data":{"a":[1,2,{"b":"}"}]},"id":"1","time":"2026-01-01T00:00:00+01:00"}`,
		`{"specversion":"1.0","type":"a","datacontenttype":"text/plain","data":"\ud83d\ude00","n":-12,"b":true,"z":null}`,
		`{"specversion":"1.0","type":"a","data_base64":"AAEC"}`, `[{}]`, `{"data":"\\"`, "{\"a\xff\":1}", `{"a":tru}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		// encoding/json calls bad UTF-8 and lone surrogates valid, and does not look into base64.
		plain := utf8.Valid(raw) && !bytes.Contains(raw, []byte(`\u`)) && !bytes.Contains(raw, []byte("base64"))
		e, err := autobus.ParseEvent(raw)
		if err != nil {
			if err.Reason == autobus.ReasonBodyUnreadable && plain && json.Valid(raw) {
				t.Errorf("readable JSON called unreadable: %v", err)
			}
			return
		}
		if plain && e.IsJSON() && json.Valid(raw) != (e.Data == nil || json.Valid(e.Data)) {
			t.Errorf("the envelope was judged wrongly: %q", raw)
		}
		back, err := autobus.ParseEvent(autobus.AppendEvent(nil, &e))
		if err != nil {
			t.Fatalf("not read again: %v", err)
		}
		same(t, &e, &back)
		_ = e.Check()
		_, _ = autobus.SplitBatch(raw)
	})
}

type fataler interface{ Fatalf(string, ...any) }

func same(t fataler, a, b *autobus.Event) {
	if a.ID != b.ID || a.Source != b.Source || a.Type != b.Type || a.Subject != b.Subject ||
		a.ContentType != b.ContentType || a.DataSchema != b.DataSchema || !slices.Equal(a.Extensions, b.Extensions) {
		t.Fatalf("attributes changed: %+v became %+v", a, b)
	}
	_, zoneA := a.Time.Zone()
	_, zoneB := b.Time.Zone()
	if !a.Time.Equal(b.Time) || zoneA != zoneB {
		t.Fatalf("time changed: %v became %v", a.Time, b.Time)
	}
	data := a.Data
	if a.IsJSON() && json.Valid(data) { // space around a value is none of it
		data = bytes.Map(func(r rune) rune {
			if r == '\r' || r == '\n' {
				return ' '
			}
			return r
		}, bytes.Trim(data, " \t\r\n"))
	}
	if (a.Data == nil) != (b.Data == nil) || !bytes.Equal(data, b.Data) && !bytes.Equal(a.Data, b.Data) {
		t.Fatalf("data changed: %q became %q", a.Data, b.Data)
	}
}

func reasonOf(err *autobus.Error) autobus.Reason {
	if err == nil {
		return ""
	}
	return err.Reason
}
