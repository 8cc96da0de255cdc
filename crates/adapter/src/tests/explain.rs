//! A statement that reads a large table as a whole is told of by the check, and one that uses an index is
//! not.

use chapar_contract::Contract;

use super::bench::{PROTO, prepared};
use super::engines::{Database, Engine, LIMITS, shared_servers};
use crate::backend::Opened;
use crate::served_method::Look;

const SERVICE: &str = r#"service Register {
  rpc Get(Ask) returns (Told) { option (chapar.contract.v1.method) = { purposes: ["test"] }; }
}
message Ask { string name = 1; }
message Told { string name = 1 [(chapar.contract.v1.field).class = CLASS_PUBLIC]; }"#;

#[tokio::test]
async fn a_large_table_that_is_read_as_a_whole_is_told_of_until_it_has_an_index() {
    for host in shared_servers() {
        let rows = match host.engine() {
            Engine::Postgres => {
                "INSERT INTO big SELECT g, 'name ' || g FROM generate_series(1, 30000) AS g; ANALYZE big;"
            }
            _ => "INSERT INTO big SELECT seq, CONCAT('name ', seq) FROM seq_1_to_30000; ANALYZE TABLE big;",
        };
        let schema = format!("CREATE TABLE big (id BIGINT, name VARCHAR(30) NOT NULL); {rows}");
        let Database { folder, source, name, .. } = Database::on(host, &schema, LIMITS).await;
        let contract = folder.path().join("reg");
        std::fs::create_dir_all(contract.join("v1/Register")).unwrap();
        let proto = PROTO.split("service Register").next().unwrap().to_owned() + SERVICE;
        std::fs::write(contract.join("v1/reg.proto"), proto).unwrap();
        std::fs::write(contract.join("v1/Register/Get.sql"), "SELECT name FROM big WHERE name = :name")
            .unwrap();
        let compiled = Contract::load(&contract).unwrap();
        let source = Opened::Database(source);
        let remarks = async || {
            let methods = prepared(&contract, &compiled, &source, Look::AtValues).await.unwrap();
            let remarks = methods.iter().flat_map(|(_, served)| &served.remarks).map(ToString::to_string);
            remarks.filter(|remark| remark.contains("the whole table is read")).collect::<Vec<_>>()
        };
        let told = remarks().await;
        assert!(told.len() == 1 && told[0].contains("Register/Get: big: "), "{:?}: {told:?}", host.engine());
        host.sql(&name, "CREATE INDEX by_name ON big (name)");
        assert_eq!(remarks().await, [""; 0], "{:?}", host.engine());
    }
}
