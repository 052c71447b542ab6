package canon

import (
	"bytes"
	"encoding/json"
	"testing"
)

// entry is a request body as a client's encoder writes it (compact, keys in the order of its struct): 600 bytes.
const entry = `{"action":"document.shared","actor":{"type":"user","id":"u-48213","name":"Marta Lindqvist","email":"marta@lindqvist.example","session_id":"s-9f31c0aa"},"resource":{"type":"document","id":"doc-77120","name":"Q3 forecast.xlsx"},"severity":"WARNING","outcome":"success","occurred_at":"2026-11-23T10:15:00.123456Z","message":"Shared with an external address after approval","source":{"ip":"203.0.113.77","user_agent":"Mozilla/5.0 (X11; Linux x86_64)","service":"drive"},"request_id":"req-5b7e11d2","metadata":{"recipient":"partner@vendor.example","role":"viewer","expires_in_days":30,"links":2,"approved":true}}`

// sortedEntry is the same with its keys in canonical order, as encoders of maps write it.
var sortedEntry = func() string {
	s, err := canonical([]byte(entry), Limits{})
	if err != nil {
		panic(err)
	}
	return s
}()

// trail is shaped like a CloudTrail record: 1.1 kB, a space behind each comma and colon, nested, with a null and escapes.
const trail = `{"eventVersion": "1.08", "userIdentity": {"type": "AssumedRole", "principalId": "AROAEXAMPLE7Q2:deploy-session", "arn": "arn:aws:sts::111122223333:assumed-role/deployer/deploy-session", "accountId": "111122223333", "accessKeyId": "ASIAEXAMPLEKEY01", "sessionContext": {"sessionIssuer": {"type": "Role", "principalId": "AROAEXAMPLE7Q2", "arn": "arn:aws:iam::111122223333:role/deployer", "accountId": "111122223333", "userName": "deployer"}, "attributes": {"creationDate": "2026-03-02T08:00:11Z", "mfaAuthenticated": "false"}}}, "eventTime": "2026-03-02T08:01:45Z", "eventSource": "ec2.amazonaws.com", "eventName": "RunInstances", "awsRegion": "eu-north-1", "sourceIPAddress": "198.51.100.24", "userAgent": "tool\/2.1 (\"ci\")", "requestParameters": {"instancesSet": {"items": [{"imageId": "ami-0abc1234", "minCount": 1, "maxCount": 2}]}, "instanceType": "t3.micro", "blockDeviceMapping": {}, "monitoring": {"enabled": false}}, "responseElements": null, "requestID": "2f9a7c1e-60c1-4d0a-9e11-5b1f0c7d3a42", "eventID": "8d1b2c3a-0f4e-4b7a-8c55-1e2d3f4a5b6c", "readOnly": false, "eventType": "AwsApiCall", "recipientAccountId": "111122223333"}`

var samples = []struct {
	name string
	text []byte
}{{"entry", []byte(entry)}, {"sorted", []byte(sortedEntry)}, {"trail", []byte(trail)}}

func BenchmarkParse(b *testing.B) {
	for _, s := range samples {
		b.Run(s.name, func(b *testing.B) {
			b.SetBytes(int64(len(s.text)))
			b.ReportAllocs()
			for b.Loop() {
				d, err := Parse(s.text, Limits{})
				if err != nil {
					b.Fatal(err)
				}
				d.Release()
			}
		})
	}
}

// BenchmarkValid is what the standard library takes to check the same texts, for comparison in one run.
func BenchmarkValid(b *testing.B) {
	for _, s := range samples {
		b.Run(s.name, func(b *testing.B) {
			b.SetBytes(int64(len(s.text)))
			for b.Loop() {
				if !json.Valid(s.text) {
					b.Fatal("not valid")
				}
			}
		})
	}
}

func BenchmarkAppendCanonical(b *testing.B) {
	for _, s := range samples {
		b.Run(s.name, func(b *testing.B) {
			d, err := Parse(s.text, Limits{})
			if err != nil {
				b.Fatal(err)
			}
			defer d.Release()
			var dst []byte
			b.SetBytes(int64(len(s.text)))
			b.ReportAllocs()
			for b.Loop() {
				dst = d.Root().AppendCanonical(dst[:0])
			}
		})
	}
}

// BenchmarkBulk is a full bulk body: 1,000 entries.
func BenchmarkBulk(b *testing.B) {
	body := append([]byte{'['}, bytes.Repeat([]byte(entry+","), 1000)...)
	body[len(body)-1] = ']'
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		d, err := Parse(body, Limits{})
		if err != nil {
			b.Fatal(err)
		}
		d.Release()
	}
}

// TestSteadyStateAllocations: a Doc that has seen a text needs no new memory for the next one, nor for reading and
// writing it. It goes around the pool, which the race detector empties at random.
func TestSteadyStateAllocations(t *testing.T) {
	for _, s := range samples {
		d, dst := &Doc{maxDepth: defaultDepth}, []byte(nil)
		n := testing.AllocsPerRun(100, func() {
			d.reset()
			d.data = s.text
			if err := d.parse(); err != nil {
				t.Fatal(err)
			}
			dst = d.Root().AppendCanonical(dst[:0])
			if d.Root().Get("nothing").Valid() {
				t.Fatal("found what is not there")
			}
		})
		if n > 0 {
			t.Errorf("%s: %.0f allocations", s.name, n)
		}
	}
}
