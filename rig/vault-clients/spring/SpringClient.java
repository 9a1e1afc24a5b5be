// Starts a Spring Boot application once for each line of a file, with its bundle imported by Spring Cloud Vault, for the tests of the
// Vault-compatible API. A line is PATH JWT-FILE-OR-"-" FAIL-FAST; "-" is VAULT_TOKEN. For each it prints the values of the application's
// environment as JSON, or the class of the exception that ended the start.

import com.fasterxml.jackson.databind.ObjectMapper;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.springframework.boot.Banner;
import org.springframework.boot.WebApplicationType;
import org.springframework.boot.builder.SpringApplicationBuilder;
import org.springframework.core.env.EnumerablePropertySource;

public class SpringClient {
    public static class Application {}

    public static void main(String[] lines) throws Exception {
        var answers = System.out;
        System.setOut(System.err); // for what is logged before logging is set up
        for (String line : Files.readAllLines(Path.of(lines[0]))) {
            String[] words = line.split(" ");
            answers.println(new ObjectMapper().writeValueAsString(start(words[0], words[1], words[2])));
        }
        System.exit(0);
    }

    static Map<String, Object> start(String path, String jwt, String failFast) {
        List<String> arguments = new ArrayList<>(List.of(
            "--spring.config.import=vault://claviger/" + path,
            "--spring.cloud.vault.uri=" + System.getenv("VAULT_ADDR"),
            "--spring.cloud.vault.ssl.trust-store=file:" + System.getenv("VAULT_CACERT"),
            "--spring.cloud.vault.ssl.trust-store-type=PEM",
            "--spring.cloud.vault.fail-fast=" + failFast,
            "--logging.level.root=off"));
        if (jwt.equals("-")) {
            arguments.addAll(List.of("--spring.cloud.vault.authentication=TOKEN",
                "--spring.cloud.vault.token=" + System.getenv("VAULT_TOKEN")));
        } else {
            arguments.addAll(List.of("--spring.cloud.vault.authentication=KUBERNETES",
                "--spring.cloud.vault.kubernetes.role=ci",
                "--spring.cloud.vault.kubernetes.service-account-token-file=" + jwt));
        }
        Map<String, Object> answer = new TreeMap<>();
        try (var context = new SpringApplicationBuilder(Application.class)
                .web(WebApplicationType.NONE).bannerMode(Banner.Mode.OFF).registerShutdownHook(false)
                .run(arguments.toArray(String[]::new))) {
            Map<String, String> values = new TreeMap<>();
            for (var source : context.getEnvironment().getPropertySources()) {
                if (source.getName().startsWith("claviger/") && source instanceof EnumerablePropertySource<?> named) {
                    for (String name : named.getPropertyNames()) {
                        values.put(name, String.valueOf(named.getProperty(name)));
                    }
                }
            }
            answer.put("started", values);
        } catch (RuntimeException error) {
            Throwable cause = error;
            while (cause.getCause() != null) {
                cause = cause.getCause();
            }
            answer.put("failed", error.getClass().getSimpleName());
            answer.put("text", error.getMessage() + " / " + cause.getMessage());
        }
        return answer;
    }
}
