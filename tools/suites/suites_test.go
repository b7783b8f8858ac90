// SPDX-License-Identifier: Apache-2.0

package main

import (
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func read(lines ...string) (map[string]*Suite, string) {
	name := func(pkg string) string { return strings.TrimPrefix(pkg, "m/") }
	suites, rest := readEvents(strings.NewReader(strings.Join(lines, "\n")), name, func(*Suite) {})
	byName := map[string]*Suite{}
	for _, s := range suites {
		byName[s.Name] = s
	}
	return byName, rest
}

func TestReadEventsCountsTests(t *testing.T) {
	got, rest := read(
		`{"Action":"run","Package":"m/a","Test":"TestGood"}`,
		`{"Action":"pass","Package":"m/a","Test":"TestGood"}`,
		`{"Action":"output","Package":"m/a","Test":"TestBad","Output":"    a_test.go:3: want 1\n"}`,
		`{"Action":"fail","Package":"m/a","Test":"TestBad"}`,
		`{"Action":"output","Package":"m/a","Test":"TestNot","Output":"    a_test.go:9: no cluster here\n"}`,
		`{"Action":"skip","Package":"m/a","Test":"TestNot"}`,
		`{"Action":"fail","Package":"m/a","Elapsed":1.5}`,
		`{"Action":"skip","Package":"m/empty"}`,
	)
	a := got["a"]
	if a == nil || a.Passed != 1 || a.Failed != 1 || len(a.Skipped) != 1 || a.Broken || rest != "" {
		t.Fatalf("got %+v, rest %q", a, rest)
	}
	if a.Skipped[0] != (Skip{"TestNot", "no cluster here"}) {
		t.Errorf("skip: got %q", a.Skipped[0])
	}
	if !strings.Contains(a.Output, "want 1") {
		t.Errorf("the failure's output is lost: %q", a.Output)
	}
	if e := got["empty"]; e == nil || !e.OK() || e.Tests() != 0 {
		t.Errorf("a package without tests: got %+v", e)
	}
}

func TestReadEventsSeesWhatEndsWithoutAWord(t *testing.T) {
	for name, lines := range map[string][]string{
		"panic": {
			`{"Action":"run","Package":"m/a","Test":"TestPanics"}`,
			`{"Action":"output","Package":"m/a","Test":"TestPanics","Output":"panic: boom\n"}`,
			`{"Action":"fail","Package":"m/a"}`,
		},
		"leak": {
			`{"Action":"pass","Package":"m/a","Test":"TestGood"}`,
			`{"Action":"output","Package":"m/a","Output":"goleak: boom\n"}`,
			`{"Action":"fail","Package":"m/a"}`,
		},
		"build": {
			`{"Action":"build-output","ImportPath":"m/a [m/a.test]","Output":"a.go:1: boom\n"}`,
			`{"Action":"output","Package":"m/a","Output":"FAIL\tm/a [build failed]\n"}`,
			`{"Action":"fail","Package":"m/a","FailedBuild":"m/a [m/a.test]"}`,
		},
		"build of a dependency": {
			`{"Action":"build-output","ImportPath":"m/b","Output":"b.go:1: boom\n"}`,
			`{"Action":"output","Package":"m/a","Output":"FAIL\tm/a [build failed]\n"}`,
			`{"Action":"fail","Package":"m/a","FailedBuild":"m/b"}`,
		},
		"end of output": {
			`{"Action":"output","Package":"m/a","Test":"TestHangs","Output":"boom\n"}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, _ := read(lines...)
			if a := got["a"]; a == nil || a.OK() {
				t.Fatalf("passed as good: %+v", a)
			} else if name != "end of output" && !strings.Contains(a.Output, "boom") {
				t.Errorf("its output is lost: %q", a.Output)
			}
		})
	}
}

func TestReadEventsKeepsWhatIsNoEvent(t *testing.T) {
	if _, rest := read(`go: cannot find main module`); !strings.Contains(rest, "main module") {
		t.Errorf("lost: %q", rest)
	}
}

func TestCompareFindsTheVanished(t *testing.T) {
	list, err := parseList([]byte("# head\n\na 2\nb 5\ngone 1\nshort 3\n"))
	if err != nil {
		t.Fatal(err)
	}
	lost, gained := compare(list, []*Suite{
		{Name: "a", Passed: 2},
		{Name: "b", Passed: 3, Skipped: []Skip{{"TestX", "no cluster"}}},
		{Name: "short", Passed: 2},
		{Name: "new", Passed: 1},
	})
	if len(lost) != 2 || !strings.HasPrefix(lost[0], "gone ") || !strings.HasPrefix(lost[1], "short ") {
		t.Errorf("lost: %q", lost)
	}
	if len(gained) != 1 || !strings.HasPrefix(gained[0], "new ") {
		t.Errorf("gained: %q", gained)
	}
}

func TestListRoundTrip(t *testing.T) {
	text := formatList([]*Suite{{Name: "b", Passed: 1, Failed: 1}, {Name: "a", Passed: 3}, {Name: "none"}})
	list, err := parseList(text)
	if err != nil || len(list) != 2 || list["a"] != 3 || list["b"] != 2 {
		t.Errorf("got %v, %v from\n%s", list, err, text)
	}
	if _, err := parseList([]byte("a two")); err == nil {
		t.Error("a line that is no number passed")
	}
}

func TestReportIsGreenOnlyWhenItIs(t *testing.T) {
	t.Chdir("../..")
	good := Suite{Name: "a", Passed: 1}
	for _, c := range []struct {
		name   string
		ci     bool
		suites []*Suite
		green  bool
		last   string
	}{
		{"good", true, []*Suite{&good}, true, "1 passed, 0 failed, 0 skipped"},
		{"failed", false, []*Suite{&good, {Name: "b", Failed: 1}}, false, "1 passed, 1 failed, 0 skipped"},
		{"broken", false, []*Suite{&good, {Name: "b", Broken: true}}, false, "1 passed, 1 failed, 0 skipped"},
		{"skip", false, []*Suite{{Name: "a", Skipped: []Skip{{"T", "w"}}}}, true, "0 passed, 0 failed, 1 skipped"},
		{"skip under CI", true, []*Suite{{Name: "a", Skipped: []Skip{{"T", "w"}}}}, false, "0 passed, 0 failed, 1 skipped"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var out strings.Builder
			r := runner{Out: &out, CI: c.ci, Only: "all", suites: c.suites}
			if err := r.report(0); (err == nil) != c.green {
				t.Errorf("green = %v, want %v: %v", err == nil, c.green, err)
			}
			lines := strings.Split(strings.TrimSpace(out.String()), "\n")
			if last := lines[len(lines)-1]; !strings.HasPrefix(last, c.last) {
				t.Errorf("the last line is %q, want %q", last, c.last)
			}
		})
	}
}

func TestApart(t *testing.T) {
	r := runner{module: "m"}
	gentle, pushing, alone := r.apart([]string{"m", "m/examples/flights", "m/internal/bus", "m/internal/bustest",
		"m/internal/kafka", "m/test/chaos", "m/test/conformance", "m/test/hostile"})
	for _, c := range []struct{ got, want []string }{
		{gentle, []string{"m/internal/bus", "m/test/hostile"}},
		{pushing, []string{"m", "m/examples/flights", "m/test/conformance"}},
		{alone, []string{"m/internal/bustest", "m/internal/kafka", "m/test/chaos"}},
	} {
		if !slices.Equal(c.got, c.want) {
			t.Errorf("%v, want %v", c.got, c.want)
		}
	}
}

func TestReadPytestCounts(t *testing.T) {
	s := &Suite{Name: "sdk/python"}
	err := readPytest([]byte(`<?xml version="1.0"?><testsuites><testsuite name="pytest" tests="4">
		<testcase classname="tests.test_a" name="test_good" time="0.1"/>
		<testcase classname="tests.test_a" name="test_bad"><failure message="boom">boom</failure></testcase>
		<testcase classname="tests.test_a" name="test_broken"><error message="boom"/></testcase>
		<testcase classname="tests.test_a" name="test_not"><skipped type="pytest.skip" message="no bus"/></testcase>
		</testsuite></testsuites>`), s)
	if err != nil || s.Passed != 1 || s.Failed != 2 || len(s.Skipped) != 1 || s.Tests() != 4 {
		t.Fatalf("got %+v, %v", s, err)
	}
	if s.Skipped[0] != (Skip{"tests.test_a.test_not", "no bus"}) {
		t.Errorf("skip: got %q", s.Skipped[0])
	}
	if readPytest([]byte("nothing"), s) == nil {
		t.Error("what is no report is taken as one")
	}
}
