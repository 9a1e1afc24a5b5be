// Asks once for each line of a file with vault-java-driver of jopenlibs, for the tests of the Vault-compatible API. A line is
// login JWT-FILE, or read PATH with VAULT_TOKEN. For each it prints the status and the client token or the values, or the exception.

import io.github.jopenlibs.vault.SslConfig;
import io.github.jopenlibs.vault.Vault;
import io.github.jopenlibs.vault.VaultConfig;
import io.github.jopenlibs.vault.VaultException;
import java.io.File;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Base64;
import java.util.Map;

public class JopenlibsClient {
    public static void main(String[] lines) throws Exception {
        var ssl = new SslConfig().pemFile(new File(System.getenv("VAULT_CACERT"))).build();
        var config = new VaultConfig().address(System.getenv("VAULT_ADDR")).token(System.getenv("VAULT_TOKEN"))
            .sslConfig(ssl).openTimeout(5).readTimeout(20).build();
        var vault = Vault.create(config, 2);
        for (String line : Files.readAllLines(Path.of(lines[0]))) {
            String[] words = line.split(" ", 2);
            try {
                if (words[0].equals("login")) {
                    var answer = vault.auth().loginByKubernetes("ci", Files.readString(Path.of(words[1])));
                    System.out.println(answer.getRestResponse().getStatus() + " token=" + answer.getAuthClientToken());
                } else {
                    var answer = vault.logical().read("claviger/" + words[1]);
                    System.out.println(answer.getRestResponse().getStatus() + " " + shown(answer.getData()));
                }
            } catch (VaultException error) {
                System.out.println("VaultException " + error.getHttpStatusCode() + " " + error.getMessage().replace("\n", " "));
            }
        }
    }

    // NAME=BASE64 words, so that a value of several lines stays on one.
    static String shown(Map<String, String> values) {
        var text = new StringBuilder("values:");
        for (var value : new java.util.TreeMap<>(values).entrySet()) {
            var bytes = value.getValue().getBytes(StandardCharsets.UTF_8);
            text.append(' ').append(value.getKey()).append('=').append(Base64.getEncoder().encodeToString(bytes));
        }
        return text.toString();
    }
}
