ALTER TABLE [dbo].[follows] ADD CONSTRAINT [PK_follows] DEFAULT (getutcdate()) FOR [b];
