// Signed requests as a Java client makes them, one JSON object a line. Takes scheme, key id, secret, host and
// time as arguments: the JDK has no JSON.

import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.util.Base64;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.Map;
import javax.crypto.Mac;
import javax.crypto.spec.SecretKeySpec;

public class Vectors {
    static final String PATH = "/v1/chat/completions";
    static final String[] VALUES = {
        "{}", "[ ]", "null", "true", "-0", "1E3", "1.0E10", "0.1", "1.0E-5", "\"\u00e9\"", "\"\u4e2d\u6587\"", "\"\ud83d\ude00\"",
        "\"\\u00E9\\/\"", "{\"b\":1,\"a\":2}", "[1,[2.5,{\"z\":null}]]", "9223372036854775807", "\"a\\tb\"", "{\"x\":{\"y\":{}}}",
    };

    static byte[] hmac(String secret, String message) throws Exception {
        Mac mac = Mac.getInstance("HmacSHA256");
        mac.init(new SecretKeySpec(secret.getBytes(StandardCharsets.UTF_8), "HmacSHA256"));
        return mac.doFinal(message.getBytes(StandardCharsets.UTF_8));
    }

    static byte[] sha256(byte[] bytes) throws Exception {
        return MessageDigest.getInstance("SHA-256").digest(bytes);
    }

    static Map<String, String> signHmac(String[] plan, byte[] body, int number) throws Exception {
        String nonce = "java-" + number;
        String hash = HexFormat.of().formatHex(sha256(body));
        Map<String, String> headers = new LinkedHashMap<>();
        headers.put("X-API-Key", plan[1]);
        headers.put("X-Timestamp", plan[4]);
        headers.put("X-Nonce", nonce);
        headers.put("X-Signature", HexFormat.of().formatHex(hmac(plan[2], plan[1] + plan[4] + nonce + hash)));
        return headers;
    }

    static Map<String, String> signHttp(String[] plan, byte[] body, int number) throws Exception {
        Base64.Encoder base64 = Base64.getEncoder();
        String digest = "sha-256=:" + base64.encodeToString(sha256(body)) + ":";
        String params = "(\"@method\" \"@authority\" \"@path\" \"@query\" \"content-digest\");created=" + plan[4]
            + ";keyid=\"" + plan[1] + "\";alg=\"hmac-sha256\";nonce=\"java-http-" + number + "\"";
        String base = String.join("\n", "\"@method\": POST", "\"@authority\": " + plan[3], "\"@path\": " + PATH,
            "\"@query\": ?", "\"content-digest\": " + digest, "\"@signature-params\": " + params);
        Map<String, String> headers = new LinkedHashMap<>();
        headers.put("Content-Digest", digest);
        headers.put("Signature-Input", "sig1=" + params);
        headers.put("Signature", "sig1=:" + base64.encodeToString(hmac(plan[2], base)) + ":");
        return headers;
    }

    static String quoted(String text) {
        return '"' + text.replace("\\", "\\\\").replace("\"", "\\\"") + '"';
    }

    public static void main(String[] plan) throws Exception {
        for (int number = 0; number < VALUES.length; number++) {
            String text = "{\"model\":\"demo-chat\",\"metadata\":" + VALUES[number]
                + ",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]}";
            byte[] body = text.getBytes(StandardCharsets.UTF_8);
            Map<String, String> headers =
                plan[0].equals("rfc9421") ? signHttp(plan, body, number) : signHmac(plan, body, number);
            StringBuilder pairs = new StringBuilder();
            for (Map.Entry<String, String> header : headers.entrySet()) {
                pairs.append(pairs.isEmpty() ? "" : ",");
                pairs.append("[" + quoted(header.getKey()) + "," + quoted(header.getValue()) + "]");
            }
            System.out.println("{\"name\":" + quoted(plan[0] + " " + number) + ",\"target\":" + quoted(PATH) + ",\"headers\":["
                + pairs + "],\"body\":" + quoted(Base64.getEncoder().encodeToString(body)) + "}");
        }
    }
}
