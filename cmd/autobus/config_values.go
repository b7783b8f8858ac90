// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// size is a number of bytes as people write it: 256MiB, 1GB, 4096.
type size int64

func (s size) String() string {
	for _, u := range sizeUnits() {
		if u.bytes > 1 && s != 0 && int64(s)%u.bytes == 0 {
			return strconv.FormatInt(int64(s)/u.bytes, 10) + u.name
		}
	}
	return strconv.FormatInt(int64(s), 10)
}

type sizeUnit struct {
	name  string
	bytes int64
}

func sizeUnits() []sizeUnit {
	return []sizeUnit{
		{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"GB", 1e9}, {"MB", 1e6}, {"kB", 1e3}, {"B", 1},
	}
}

func parseSize(s string) (size, error) {
	unit := int64(1)
	for _, u := range sizeUnits() {
		if rest, ok := strings.CutSuffix(s, u.name); ok {
			s, unit = strings.TrimSpace(rest), u.bytes
			break
		}
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < 0 || n > math.MaxInt64/unit {
		return 0, fmt.Errorf("not a size")
	}
	return size(n * unit), nil
}

// number is how many of something there may be.
type number int64

// setScalar parses text into v and reports whether it could.
func setScalar(v reflect.Value, text string) bool {
	switch v.Interface().(type) {
	case string:
		v.SetString(text)
	case bool:
		if text != "true" && text != "false" {
			return false
		}
		v.SetBool(text == "true")
	case time.Duration:
		d, err := time.ParseDuration(text)
		if err != nil {
			return false
		}
		v.SetInt(int64(d))
	case number:
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil || n < 0 {
			return false
		}
		v.SetInt(n)
	case size:
		n, err := parseSize(text)
		if err != nil {
			return false
		}
		v.SetInt(int64(n))
	case []string:
		var items []string
		for item := range strings.SplitSeq(text, ",") {
			if item = strings.TrimSpace(item); item != "" {
				items = append(items, item)
			}
		}
		v.Set(reflect.ValueOf(items))
	default:
		return false
	}
	return true
}

func wanted(v reflect.Value) string {
	switch v.Interface().(type) {
	case bool:
		return "true or false"
	case time.Duration:
		return "a duration"
	case number:
		return "a whole number"
	case size:
		return "a size in bytes"
	case []string, []principalQuota:
		return "a list"
	default:
		return "a text"
	}
}

func sample(v reflect.Value) string {
	switch v.Interface().(type) {
	case bool:
		return "true"
	case time.Duration:
		return "20s"
	case number:
		return "1000"
	case size:
		return "256MiB"
	case []string:
		return "[a, b]"
	case []principalQuota:
		return "[{principal: checkout, events: 1000}]"
	default:
		return `"text"`
	}
}
