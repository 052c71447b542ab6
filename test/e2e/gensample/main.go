// Command gensample writes the project's own CloudTrail-shaped sample: 300 made-up records that hold every oddity that
// real ones were seen to have. The same program gives the same bytes:
//
//	go run ./test/e2e/gensample > test/e2e/testdata/cloudtrail.ndjson
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"time"
)

const (
	records = 300
	account = "111122223333"
)

type object = map[string]any

func main() {
	out := bufio.NewWriter(os.Stdout)
	enc := json.NewEncoder(out)
	enc.SetEscapeHTML(false)
	g := generator{r: rand.New(rand.NewPCG(7, 11)), at: time.Date(2024, 2, 28, 23, 50, 0, 0, time.UTC)}
	for i := range records {
		if err := enc.Encode(g.record(i)); err != nil {
			fmt.Fprintln(os.Stderr, "gensample:", err)
			os.Exit(1)
		}
	}
	if err := out.Flush(); err != nil {
		fmt.Fprintln(os.Stderr, "gensample:", err)
		os.Exit(1)
	}
}

type generator struct {
	r  *rand.Rand
	at time.Time
}

// call is an API call as CloudTrail names it.
type call struct {
	source, name string
	errors       []string
}

var calls = []call{
	{"ec2.amazonaws.com", "DescribeInstances", []string{"Client.UnauthorizedOperation", "Client.InvalidParameterValue"}},
	{"ec2.amazonaws.com", "RunInstances", []string{"Client.UnauthorizedOperation", "Client.VcpuLimitExceeded"}},
	{"ec2.amazonaws.com", "DeleteRouteTable", []string{"Client.InvalidRouteTableID.NotFound"}},
	{"kms.amazonaws.com", "Decrypt", []string{"AccessDenied"}},
	{"s3.amazonaws.com", "GetBucketPolicy", []string{"NoSuchBucketPolicy", "AccessDenied"}},
	{"s3.amazonaws.com", "PutBucketTagging", []string{"BucketNotEmpty"}},
	{"iam.amazonaws.com", "ListUsers", []string{"ThrottlingException", "AccessDenied"}},
	{"secretsmanager.amazonaws.com", "RotateSecret", nil},
}

// record makes record i. The remainders of i choose the oddities, so that each has its share whatever the seed.
func (g *generator) record(i int) object {
	c := calls[i%len(calls)]
	g.at = g.at.Add(time.Duration(g.r.IntN(20)) * time.Second)
	rec := object{
		"eventVersion": "1.08", "userIdentity": g.identity(i), "eventTime": g.at.Format(time.RFC3339),
		"eventSource": c.source, "eventName": c.name, "awsRegion": "eu-central-1", "sourceIPAddress": g.address(i),
		"userAgent": "[aws-sdk-go/1.44 (linux; amd64)]", "requestParameters": g.parameters(i, c), "responseElements": nil,
		"requestID": g.uuid(), "eventID": g.uuid(), "readOnly": i%3 != 0, "eventType": "AwsApiCall", "managementEvent": true,
		"recipientAccountId": account, "eventCategory": "Management",
	}
	if len(c.errors) > 0 && i%7 == 3 {
		rec["errorCode"] = c.errors[g.r.IntN(len(c.errors))]
		if i%21 != 3 { // some give no message
			rec["errorMessage"] = "You may not, or it is not there: " + rec["errorCode"].(string)
		}
	}
	if i%5 == 1 {
		rec["responseElements"] = object{"requestId": g.uuid(), "_return": true, "count": g.r.IntN(1000), "share": 0.25}
	}
	if i%60 == 17 {
		delete(rec, "requestID")
	}
	if c.source == "s3.amazonaws.com" || c.source == "kms.amazonaws.com" {
		rec["resources"] = g.resources(i, c)
	}
	if i%50 == 4 {
		rec["additionalEventData"] = deep(9)
	}
	return rec
}

func (g *generator) identity(i int) object {
	switch {
	case i%25 == 7: // what a service does by itself has no type
		return object{"accountId": account, "invokedBy": "secretsmanager.amazonaws.com"}
	case i%25 == 12:
		return object{"type": "AWSService", "invokedBy": "ec2.amazonaws.com"}
	case i%10 == 9:
		role := object{"type": "Role", "principalId": "AROAEXAMPLE", "arn": "arn:aws:iam::" + account + ":role/deploy", "accountId": account, "userName": "deploy"}
		return object{
			"type": "AssumedRole", "principalId": "AROAEXAMPLE:ci", "arn": "arn:aws:sts::" + account + ":assumed-role/deploy/ci",
			"accountId": account, "accessKeyId": "ASIAEXAMPLE",
			"sessionContext": object{"sessionIssuer": role, "webIdFederationData": object{}, "attributes": object{"mfaAuthenticated": "false"}},
		}
	}
	name := []string{"amélie", "bertram", "chidi"}[i%3]
	return object{
		"type": "IAMUser", "principalId": fmt.Sprintf("AIDAEXAMPLE%d", i%3), "arn": "arn:aws:iam::" + account + ":user/" + name,
		"accountId": account, "accessKeyId": fmt.Sprintf("AKIAEXAMPLE%d", i%3), "userName": name,
	}
}

// address is mostly an address; sometimes it is the name of a service, as in real records.
func (g *generator) address(i int) string {
	switch i % 25 {
	case 7:
		return "secretsmanager.amazonaws.com"
	case 12:
		return "AWS Internal"
	case 20:
		return "2001:db8::17"
	}
	return fmt.Sprintf("198.51.100.%d", g.r.IntN(250)+1)
}

func (g *generator) parameters(i int, c call) any {
	switch {
	case i%9 == 0:
		return nil
	case c.name == "PutBucketTagging": // keys that differ only by case
		return object{"bucketName": "example-bucket", "tagging": "", "Tagging": object{"TagSet": object{"Tag": []any{object{"Key": "team", "Value": "blau"}}, "tag": ""}}}
	}
	return object{"maxResults": 100, "filterSet": object{"items": []any{object{"name": "tag:Name", "valueSet": []any{fmt.Sprintf("web-%d", g.r.IntN(40))}}}}}
}

// resources has up to ten elements, some without a type.
func (g *generator) resources(i int, c call) []any {
	list := []any{object{"accountId": account, "type": "AWS::S3::Bucket", "ARN": "arn:aws:s3:::example-bucket"}}
	if c.source == "kms.amazonaws.com" {
		list = []any{object{"accountId": account, "ARN": "arn:aws:kms:eu-central-1:" + account + ":key/1234"}}
	}
	if i%40 == 3 || i%40 == 4 {
		for n := range 9 {
			list = append(list, object{"accountId": account, "type": "AWS::S3::Object", "ARN": fmt.Sprintf("arn:aws:s3:::example-bucket/%d", n)})
		}
	}
	return list
}

// deep nests objects and lists so that the record reaches 11 levels.
func deep(levels int) any {
	var v any = object{"leaf": "x"}
	for n := range levels - 1 {
		if n%2 == 0 {
			v = []any{v}
		} else {
			v = object{"inner": v}
		}
	}
	return object{"outer": v}
}

func (g *generator) uuid() string {
	hi, lo := g.r.Uint64(), g.r.Uint64()
	return fmt.Sprintf("%08x-%04x-4%03x-a%03x-%012x", hi>>32, hi>>16&0xffff, hi&0xfff, lo>>48&0xfff, lo&0xffffffffffff)
}
